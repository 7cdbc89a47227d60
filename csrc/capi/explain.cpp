// What a convolution would do, as text.
#include <algorithm>
#include <cstdio>

#include "capi/conv.hpp"

using namespace fastconv;
using namespace fastconv::capi;

namespace {

std::string explanation(const ConvPlan& p) {
  std::string s;
  auto line = [&](const char* key, const Word& value) { s += message({key, ": ", value, "\n"}); };
  auto real = [](double v) {
    char text[32];
    std::snprintf(text, sizeof text, "%.6g", v);
    return std::string(text);
  };
  line("algorithm", algorithm_name(p.algorithm));
  line("kernel", p.kernel);
  line("isa", isa_name());
  line("lanes", p.lanes);
  line("mr", p.mr);
  line("nr", p.nr);
  line("block_channels", p.block_channels);
  line("block_pixels", p.block_pixels);
  line("workspace_bytes", p.workspace_bytes);
  line("shared_bytes", p.shared_bytes);
  line("threads", p.threads);
  line("macs", real(p.macs));
  line("bytes", real(p.bytes));
  line("cost", real(p.cost));
  return s;
}

}  // namespace

extern "C" {

fastconv_status fastconv_conv_explain(const fastconv_conv* conv, int direction, char* buffer, size_t size,
                                      size_t* needed) {
  return on(conv, [&](auto t) {
    if (size) require_pointer(buffer, "buffer");
    const auto way = enumerator(direction, Direction::backward_weight, "direction");
    const std::string s = explanation(plan_conv<decltype(t)>(conv->problem, way, conv->algorithm));
    if (size) {
      const size_t n = std::min(size - 1, s.size());
      std::memcpy(buffer, s.data(), n);
      buffer[n] = 0;
    }
    if (needed) *needed = s.size() + 1;
  });
}

}  // extern "C"
