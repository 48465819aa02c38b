# The shared library has not grown: cmake -Dlibrary= -Dstrip= -Dcopy= -Dlimit= -P size.cmake
#
# Above all, that it was optimised at link time: cargo leaves that out without a word.

execute_process(COMMAND "${strip}" -o "${copy}" "${library}" RESULT_VARIABLE failed)
if(failed)
    message(FATAL_ERROR "${strip} failed")
endif()
file(SIZE "${copy}" size)
message(STATUS "stripped: ${size} bytes, at most ${limit}")
if(size GREATER limit)
    message(FATAL_ERROR "The library is ${size} bytes long, stripped: ${limit} were enough before.")
endif()
