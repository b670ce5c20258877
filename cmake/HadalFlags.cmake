# Warning, sanitizer and hardening flags. One place, so that every target gets the same.
add_library(hadal_flags INTERFACE)
target_include_directories(hadal_flags INTERFACE ${CMAKE_SOURCE_DIR}/src)
target_compile_options(hadal_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wno-unused-parameter
  -Wno-missing-field-initializers  # designated initialisers that leave the rest to defaults are the house style
  -fno-math-errno)          # no errno from sqrt; never -ffast-math (NaN and -inf must mean what they say)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 reports std::string and std::vector code inlined at -O2 (gcc bugs 105329, 105651)
  target_compile_options(hadal_flags INTERFACE -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow
                         -Wno-stringop-overread -Wno-maybe-uninitialized -Wno-dangling-pointer)
elseif(CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  target_compile_options(hadal_flags INTERFACE -Wthread-safety)
endif()

if(HADAL_SANITIZE STREQUAL "address")
  target_compile_options(hadal_flags INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(hadal_flags INTERFACE -fsanitize=address,undefined)
elseif(HADAL_SANITIZE STREQUAL "thread")
  target_compile_options(hadal_flags INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(hadal_flags INTERFACE -fsanitize=thread)
elseif(HADAL_SANITIZE)
  message(FATAL_ERROR "HADAL_SANITIZE must be empty, address or thread, not '${HADAL_SANITIZE}'")
endif()

if(HADAL_FUZZ)
  target_compile_options(hadal_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(HADAL_COVERAGE)
  target_compile_options(hadal_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
  target_link_options(hadal_flags INTERFACE -fprofile-instr-generate -fcoverage-mapping)
endif()
if(HADAL_PORTABLE)
  target_link_options(hadal_flags INTERFACE -static-libstdc++ -static-libgcc)
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE})
endif()
