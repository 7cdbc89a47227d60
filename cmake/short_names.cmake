# cmake -DOBJECT=file.o -DNM=nm -DOBJCOPY=objcopy -P short_names.cmake: what is local in the object keeps no name but
# some dots. Relocations need the symbols; their C++ names would be a tenth of a megabyte, and each of these is the end of the next.
execute_process(COMMAND ${NM} --format=posix ${OBJECT} OUTPUT_VARIABLE symbols COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[^\n ]+ [bdrt] " symbols "${symbols}")
list(REMOVE_DUPLICATES symbols)
set(dots "")
set(names "")
foreach(symbol IN LISTS symbols)
  string(REGEX REPLACE " .*" "" name "${symbol}")
  string(APPEND dots ".")
  string(APPEND names "${name} ${dots}\n")
endforeach()
file(WRITE ${OBJECT}.names "${names}")
execute_process(COMMAND ${OBJCOPY} --redefine-syms=${OBJECT}.names ${OBJECT} COMMAND_ERROR_IS_FATAL ANY)
