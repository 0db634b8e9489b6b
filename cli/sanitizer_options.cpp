// A confined program can start no other one, as the sanitizers would to name the functions in what they report: they
// would die of that before they have said anything. `llvm-symbolizer-14 -e build/dev/bin/tails-iptc ADDRESS` names them
// afterwards.
extern "C" const char* __asan_default_options() { return "symbolize=0"; }
