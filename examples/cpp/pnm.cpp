#include "pnm.hpp"

#include <fstream>
#include <stdexcept>

namespace {

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw std::runtime_error(path + ": " + what);
}

// The next number of a header or of a plain picture; a '#' begins a comment up to the end of its line.
int64_t number(std::istream& in, const std::string& path) {
  for (in >> std::ws; in.peek() == '#'; in >> std::ws) in.ignore(1 << 20, '\n');
  int64_t value = -1;
  if (!(in >> value) || value < 0) fail(path, "a number is missing");
  return value;
}

int64_t binary(std::istream& in, bool wide, const std::string& path) {
  int64_t value = wide ? in.get() << 8 : 0;  // the high byte comes first
  value |= in.get();
  if (!in) fail(path, "the picture ends too soon");
  return value;
}

}  // namespace

Picture read_picture(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) fail(path, "cannot be opened");
  char magic[2] = {};
  in.read(magic, 2);
  const std::string kinds = "2356";
  if (magic[0] != 'P' || kinds.find(magic[1]) == std::string::npos)
    fail(path, "is not a PGM or PPM picture (P2, P3, P5, P6)");
  Picture p;
  p.channels = magic[1] == '3' || magic[1] == '6' ? 3 : 1;
  p.width = number(in, path);
  p.height = number(in, path);
  p.maximum = static_cast<int>(number(in, path));
  if (p.width < 1 || p.height < 1 || p.width > 1 << 16 || p.height > 1 << 16)
    fail(path, "must have sides of 1 to 65536");
  if (p.maximum < 1 || p.maximum > 65535) fail(path, "must have a maximum of 1 to 65535");
  const bool plain = magic[1] < '4';
  if (!plain) in.get();  // the one space between header and samples
  const int64_t plane = p.height * p.width;
  p.samples.resize(static_cast<size_t>(p.channels * plane));
  for (int64_t i = 0; i < plane; ++i)
    for (int64_t c = 0; c < p.channels; ++c) {
      const int64_t value = plain ? number(in, path) : binary(in, p.maximum > 255, path);
      if (value > p.maximum) fail(path, "has a sample above its maximum");
      p.samples[static_cast<size_t>(c * plane + i)] = static_cast<float>(value);
    }
  return p;
}

void write_picture(const std::string& path, const Picture& p) {
  std::ofstream out(path, std::ios::binary);
  out << (p.channels == 3 ? "P6" : "P5") << '\n' << p.width << ' ' << p.height << '\n' << p.maximum << '\n';
  const int64_t plane = p.height * p.width;
  for (int64_t i = 0; i < plane; ++i)
    for (int64_t c = 0; c < p.channels; ++c) {
      const int value = static_cast<int>(p.samples[static_cast<size_t>(c * plane + i)]);
      if (p.maximum > 255) out.put(static_cast<char>(value >> 8));
      out.put(static_cast<char>(value));
    }
  if (!out.flush()) fail(path, "cannot be written");
}
