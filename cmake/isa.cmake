# The kernel sources are compiled once per rung of the instruction-set ladder, each time into a namespace of
# its own (FASTCONV_ISA_NS), without link-time optimisation, so that no inline function of a high rung can be
# the copy that the linker keeps for everybody.
set(kernels ${CMAKE_CURRENT_LIST_DIR}/../csrc/kernels)
file(GLOB FASTCONV_KERNEL_SOURCES CONFIGURE_DEPENDS ${kernels}/*.cpp ${kernels}/*/*.cpp)

# No exceptions, no unwinding tables, fused multiply-add wherever the rung has it.
set(FASTCONV_KERNEL_FLAGS ${FASTCONV_LEAN} -fno-asynchronous-unwind-tables -ffp-contract=fast -fno-trapping-math
  -fno-exceptions -fno-rtti)
if(FASTCONV_SANITIZE)
  list(TRANSFORM FASTCONV_KERNEL_FLAGS REPLACE -O2 -O1)  # the tiles with checks take minutes at more
endif()

# fastconv_add_isa(TARGET NAME FLAG...): the kernels of one rung, and a definition that tells TARGET of them.
function(fastconv_add_isa target name)
  set(lib fastconv_kernels_${name})
  add_library(${lib} OBJECT ${FASTCONV_KERNEL_SOURCES})
  target_include_directories(${lib} PRIVATE ${PROJECT_SOURCE_DIR}/csrc ${PROJECT_SOURCE_DIR}/csrc/include)
  target_compile_definitions(${lib} PRIVATE FASTCONV_ISA_NS=isa_${name} FASTCONV_ISA_NAME="${name}")
  set_target_properties(${lib} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
  fastconv_flags(${lib})
  fastconv_options(${lib} ${FASTCONV_KERNEL_FLAGS} ${ARGN})
  string(TOUPPER ${name} upper)
  target_compile_definitions(${target} PRIVATE FASTCONV_HAVE_${upper}=1)
endfunction()

# fastconv_add_isa_kernels(TARGET LIST): all rungs of this processor family; their objects are appended to LIST.
function(fastconv_add_isa_kernels target list)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    fastconv_options(${target} -march=x86-64-v2)
    fastconv_add_isa(${target} v2 -march=x86-64-v2 -Os)
    fastconv_add_isa(${target} v3 -march=x86-64-v3)
    fastconv_add_isa(${target} v4 -march=x86-64-v4 -mprefer-vector-width=512)
    set(rungs v2 v3 v4)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
    fastconv_add_isa(${target} neon)
    set(rungs neon)
  else()
    fastconv_add_isa(${target} generic)
    set(rungs generic)
  endif()
  foreach(rung ${rungs})
    list(APPEND ${list} $<TARGET_OBJECTS:fastconv_kernels_${rung}>)
  endforeach()
  set(${list} ${${list}} PARENT_SCOPE)
endfunction()
