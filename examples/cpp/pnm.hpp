// Netpbm pictures: PGM (grey) and PPM (colour), plain and binary, up to 16 bits a sample.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

struct Picture {
  int64_t channels = 1, height = 0, width = 0;  // 1 or 3 channels
  int maximum = 255;                            // white
  std::vector<float> samples;                   // channel by channel, row by row
};

// Throw std::runtime_error that names the file and what is wrong with it.
Picture read_picture(const std::string& path);
void write_picture(const std::string& path, const Picture& picture);
