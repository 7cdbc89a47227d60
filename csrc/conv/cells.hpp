// The input gradient of a stride in one piece: an element for each residue of the stride makes a cell, and a cell is a
// pixel of another gradient, whose stride is 1 and whose channels are the residues of all channels. They share what is
// packed of dy, and make tiles of many rows from few channels.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// Whether the gradient is computed this way.
template <class T>
bool use_cells(const ConvProblem& p, Algorithm algorithm);

template <class T>
void run_cells(const ConvProblem& p, View<const T> dy, View<const T> w, View<const T> bias, View<T> dx,
               Activation activation, Algorithm algorithm);

template <class T>
ConvPlan plan_cells(const ConvProblem& p, Algorithm algorithm);

}  // namespace fastconv
