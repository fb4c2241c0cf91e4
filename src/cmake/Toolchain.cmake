# Compiler launcher, linker, warnings and sanitizers for every target of this project.

# ccache follows the precompiled header only with these sloppiness settings.
find_program(EXPUNGE_CCACHE ccache)
if(EXPUNGE_CCACHE)
  set(_launcher ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${EXPUNGE_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${_launcher})
  set(CMAKE_CXX_COMPILER_LAUNCHER ${_launcher})
endif()

find_program(EXPUNGE_MOLD mold)
if(EXPUNGE_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wall> $<$<COMPILE_LANGUAGE:CXX>:-Wextra>
                    $<$<COMPILE_LANGUAGE:CXX>:-Werror=return-type> $<$<COMPILE_LANGUAGE:CXX>:-Winvalid-pch>
                    $<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>)  # GCC 12 takes "text" + std::string for overlapping
endif()
# Sums must not change with the compiler's taste for fused multiply-adds.
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
# LibTorch is built with NDEBUG; mixing breaks its inline checks. Our own checks (EXPUNGE_CHECK) stay on.
add_compile_definitions(NDEBUG)

if(EXPUNGE_SANITIZE)
  add_compile_options(-fsanitize=${EXPUNGE_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${EXPUNGE_SANITIZE})
endif()
