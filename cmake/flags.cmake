# Compiler flags that every target shares.

# Without the copies of loops for every case that -O3 adds: the library is half as large and as quick, where loops are unrolled
# by hand (kernels) or do not matter (plans). Vectors for plain loops as with -O3.
set(FASTCONV_LEAN -O2)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND FASTCONV_LEAN -fvect-cost-model=dynamic)
endif()

# What GCC adds around loops: copies of branches and loads, an order of instructions for processors that keep none of their own,
# empty bytes before labels. Tiles and most plans are as quick without (a tenth of their bytes); pools, depthwise rows
# and Fourier transforms lose up to a tenth. Where all is straight lines, registers need no regions.
set(FASTCONV_PLAIN "")
set(FASTCONV_PLAIN_STRAIGHT "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  set(FASTCONV_PLAIN -fno-thread-jumps -fno-tree-pre -fno-schedule-insns2
    -falign-functions=1 -falign-jumps=1 -falign-labels=1 -falign-loops=1)
  set(FASTCONV_PLAIN_STRAIGHT ${FASTCONV_PLAIN} -fira-region=one)
endif()

# For what is looked at once a call.
set(FASTCONV_SMALL -Os)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  list(APPEND FASTCONV_SMALL -fno-schedule-insns2)  # what is not shuffled repeats itself, and packs the better
endif()

# fastconv_options(TARGET FLAG...): GCC's spelling of flags; clang-cl, which speaks Microsoft's, hands them on to clang.
function(fastconv_options target)
  if(CMAKE_CXX_COMPILER_FRONTEND_VARIANT STREQUAL "MSVC")
    list(TRANSFORM ARGN PREPEND /clang:)
  endif()
  target_compile_options(${target} PRIVATE ${ARGN})
endfunction()

function(fastconv_flags target)
  if(MSVC AND NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    message(FATAL_ERROR "fastconv's kernels are written in GCC's and Clang's vector types: on Windows use clang-cl "
      "(cmake -T ClangCL, or -DCMAKE_CXX_COMPILER=clang-cl)")
  endif()
  fastconv_options(${target} -Wall -Wextra -Wno-psabi -fno-math-errno)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    fastconv_options(${target} -fno-gnu-unique)  # the static library's copies of the standard library's tables would clash
    # Functions that the linker sorts by name, so that those for float32 and float64 pack as one; constants without a symbol each.
    fastconv_options(${target} -ffunction-sections -fno-merge-constants)
  endif()
  if(FASTCONV_WERROR)
    fastconv_options(${target} -Werror)
  endif()
  if(FASTCONV_SANITIZE)
    # Lines for the reports; to describe all that the tiles hold in registers would take as long as to compile them.
    fastconv_options(${target} -fsanitize=${FASTCONV_SANITIZE} -fno-omit-frame-pointer -g1)
    target_link_options(${target} PRIVATE -fsanitize=${FASTCONV_SANITIZE})
  endif()
endfunction()
