// Arguments of Python calls, normalised once. A few comparisons when all is well; the long, helpful message is
// composed only when something is wrong, and names the argument and shows its value.
#pragma once
#include "bindings/array.hpp"
#include "fastconv/conv.hpp"
#include "fastconv/filter.hpp"

namespace fastconv {

// A tuple, a list or an array with axes: what may hold a value per axis.
bool is_sequence(py::handle h);

// An int, or one per axis. Writes `nd` values; each at least `least`.
void parse_axes(py::handle h, int nd, int64_t least, const char* name, int64_t* values);

int64_t parse_int(py::handle h, int64_t least, const char* name);
double parse_number(py::handle h, const char* name);

// Throws the TypeError for an argument of which Python could not make what it should be, with Python's error as its
// cause; but what is no error of the argument's, such as KeyboardInterrupt, as it is.
[[noreturn]] void refuse(const char* name, const char* need, py::handle got);

// True or False, of Python or of numpy; nothing is taken for its truth value.
bool parse_bool(py::handle h, const char* name);

// Any iterable as a tuple, which nothing that is called while it is read can change; and such a shape.
py::tuple tuple_of(py::handle h, const char* name, const char* need);
py::tuple parse_shape(py::handle h, const char* name);

// padding: an int | one per axis | (before, after) per axis | "valid" "same" "same_lower" "full" "causal".
// Reads in, k, stride, dilation of `axes` and writes pad_before and pad_after.
void parse_padding(py::handle h, int nd, ConvAxis* axes);

// One mode for all axes or one per axis; numpy's names "constant", "edge", "wrap" are understood too.
void parse_modes(py::handle h, int nd, ConvAxis* axes);
Mode parse_mode(py::handle h, const char* name);

Activation parse_activation(py::handle h);
Algorithm parse_algorithm(py::handle h);
Direction parse_direction(py::handle h);
Filter parse_filter(py::handle h);

}  // namespace fastconv
