# The Debian packages, by `cpack -G DEB` in the folder of the build (scripts/package does it all).
# Sets CPACK_*; `packages` names the components.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME tails-iptc)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
# Each package has a synopsis of its own.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_PACKAGE_CONTACT "The tails-iptc developers <tails-iptc@example.org>")
set(CPACK_PACKAGE_DIRECTORY ${PROJECT_BINARY_DIR}/packages)
# Some files belong under / and not under /usr.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL ${packages})
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_GROUPING IGNORE)
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/cmake/package_finish.cmake)
set(CPACK_PROJECT_SOURCE_DIR ${PROJECT_SOURCE_DIR})

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)

set(CPACK_DEBIAN_MAIN_PACKAGE_NAME tails-iptc)
set(CPACK_DEBIAN_MAIN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_MAIN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_MAIN_PACKAGE_SUGGESTS "tor, tails-iptc-fastpath, prometheus-node-exporter")
set(CPACK_DEBIAN_MAIN_PACKAGE_RECOMMENDS kmod)
set(CPACK_DEBIAN_MAIN_PACKAGE_CONTROL_EXTRA
    "${CMAKE_CURRENT_SOURCE_DIR}/debian/postinst;${CMAKE_CURRENT_SOURCE_DIR}/debian/prerm;${CMAKE_CURRENT_SOURCE_DIR}/debian/postrm;${CMAKE_CURRENT_SOURCE_DIR}/debian/conffiles")
set(CPACK_COMPONENT_MAIN_DESCRIPTION
    "Tor-only network policy in legacy iptables
A policy says who may talk to what. This program turns it into rules for
kernels with legacy iptables, proves that nothing leaks, and puts them into the
kernel as one transaction: at no instant is anything let through that neither
the old nor the new rules allow. Three policies as Tails has them are built in.
.
Its services close the network at boot before any interface comes up. Hooks for
NetworkManager and ifupdown keep the rules in force when the network changes.")

set(CPACK_DEBIAN_FASTPATH_PACKAGE_NAME tails-iptc-fastpath)
set(CPACK_DEBIAN_FASTPATH_PACKAGE_SECTION net)
set(CPACK_DEBIAN_FASTPATH_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_FASTPATH_PACKAGE_RECOMMENDS tails-iptc)
set(CPACK_COMPONENT_FASTPATH_DESCRIPTION
    "Tor-only network policy on the wire, with DPDK
The same policy that tails-iptc puts into the kernel, as a filter for frames
between two ports, with DPDK. It compiles the policy to tables, so that each
frame costs about the same however many rules there are.")
include(CPack)
