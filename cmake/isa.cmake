# The kernel sources are compiled once per rung of the instruction-set ladder, each time into a namespace of
# its own (FASTCONV_ISA_NS), without link-time optimisation, so that no inline function of a high rung can be
# the copy that the linker keeps for everybody.
file(GLOB FASTCONV_KERNEL_SOURCES CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/../csrc/kernels/*.cpp)

function(fastconv_add_isa target name)
  set(lib fastconv_kernels_${name})
  add_library(${lib} OBJECT ${FASTCONV_KERNEL_SOURCES})
  target_include_directories(${lib} PRIVATE ${PROJECT_SOURCE_DIR}/csrc ${PROJECT_SOURCE_DIR}/csrc/include)
  target_compile_definitions(${lib} PRIVATE FASTCONV_ISA_NS=isa_${name} FASTCONV_ISA_NAME="${name}")
  set_target_properties(${lib} PROPERTIES INTERPROCEDURAL_OPTIMIZATION OFF)
  fastconv_flags(${lib})
  # No exceptions, no unwinding tables worth keeping, fused multiply-add wherever the rung has it.
  set(level -O3)
  if(FASTCONV_SANITIZE)
    set(level -O1)  # the tiles with checks take minutes at -O3
  endif()
  target_compile_options(${lib} PRIVATE ${level} -ffp-contract=fast -fno-trapping-math -fno-math-errno -fno-exceptions -fno-rtti ${ARGN})
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:${lib}>)
  string(TOUPPER ${name} upper)
  target_compile_definitions(${target} PRIVATE FASTCONV_HAVE_${upper}=1)
endfunction()

function(fastconv_add_isa_kernels target)
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64|amd64")
    target_compile_options(${target} PRIVATE -march=x86-64-v2)
    fastconv_add_isa(${target} v2 -march=x86-64-v2)
    fastconv_add_isa(${target} v3 -march=x86-64-v3)
    fastconv_add_isa(${target} v4 -march=x86-64-v4 -mprefer-vector-width=512)
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "aarch64|arm64|ARM64")
    fastconv_add_isa(${target} neon)
  else()
    fastconv_add_isa(${target} generic)
  endif()
endfunction()
