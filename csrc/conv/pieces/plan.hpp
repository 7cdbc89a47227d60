// A correlation piece by piece: for each the first algorithm that applies and pays is planned, and its plan run or
// described.
#pragma once
#include "conv/pieces/operands.hpp"

namespace fastconv {

template <class T>
void run_pieces(const ConvProblem& p, Direction direction, const Operands<T>& c);

// What run_pieces would do.
template <class T>
ConvPlan describe_pieces(const ConvProblem& p, Direction direction, const Operands<T>& c);

// Of a forward call: its weights as the algorithm would read them, if that is Winograd's or the direct one.
template <class T>
void make_ready(const ConvProblem& p, const Operands<T>& c, ReadyWeights<T>& to);

}  // namespace fastconv
