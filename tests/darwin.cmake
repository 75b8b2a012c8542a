# A build for macOS on a machine that is none, to see that everything compiles
# and that every name is there. Nothing of it can be run here; see HACKING.md.
#
#   PKG_CONFIG_LIBDIR=DIRECTORY cmake -S . -B build/darwin -G Ninja \
#       -DCMAKE_TOOLCHAIN_FILE=tests/darwin.cmake \
#       -DCMAKE_OSX_SYSROOT=SDK -DBUILD_TESTING=OFF

set(CMAKE_SYSTEM_NAME Darwin)
set(CMAKE_SYSTEM_PROCESSOR arm64)
set(CMAKE_OSX_ARCHITECTURES arm64)
set(CMAKE_OSX_DEPLOYMENT_TARGET 12.0)
set(CMAKE_C_COMPILER clang-14)
set(CMAKE_C_COMPILER_TARGET arm64-apple-macos12)
set(CMAKE_EXE_LINKER_FLAGS_INIT -fuse-ld=lld)
find_program(CMAKE_AR llvm-ar-14)
find_program(CMAKE_RANLIB llvm-ranlib-14)
find_program(CMAKE_INSTALL_NAME_TOOL llvm-install-name-tool-14)
find_program(CMAKE_OTOOL llvm-otool-14)
