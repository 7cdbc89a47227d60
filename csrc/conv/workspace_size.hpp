// How much a call takes from a workspace at most (base/workspace.hpp).
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// Bytes for a call on up to `threads` threads: an upper bound, of which arenas are the larger part and tables the rest.
template <class T>
int64_t conv_workspace_size(const ConvProblem& p, Direction direction, Algorithm algorithm, int threads);

}  // namespace fastconv
