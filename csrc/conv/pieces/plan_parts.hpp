// The description of a call that several plans make up.
#pragma once
#include "fastconv/conv.hpp"

namespace fastconv {

// Tile and blocks are those of the `main` part.
void add_part(ConvPlan& total, const ConvPlan& part, bool main);

}  // namespace fastconv
