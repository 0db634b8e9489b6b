# cmake -DFILES=a.toml,b.toml -DTEMPLATE=profiles.cpp.in -DOUTPUT=profiles.cpp -P embed_profiles.cmake
# Writes the profiles into C++ source as raw strings, in the order given.
string(REPLACE "," ";" FILES "${FILES}")
set(PROFILES "")
foreach(file ${FILES})
  file(READ ${file} text)
  get_filename_component(name ${file} NAME_WE)
  string(APPEND PROFILES "    Profile{\"${name}\", \"${name}.toml\", R\"profile(${text})profile\"},\n")
endforeach()
configure_file(${TEMPLATE} ${OUTPUT} @ONLY)
