// Messages put together from texts and numbers, and the errors that carry them: one call, where a sum of strings would
// be a temporary for each.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>

namespace fastconv {

class Word {
 public:
  Word(const char* text) : text_(text) {}
  Word(const std::string& text) : text_(text.c_str()) {}  // which must live as long
  template <class I, class = std::enable_if_t<std::is_integral_v<I>>>
  Word(I number) : number_(static_cast<int64_t>(number)) {}

  void append_to(std::string& s) const;

 private:
  const char* text_ = nullptr;
  int64_t number_ = 0;
};

std::string message(std::initializer_list<Word> words);

// Throws std::invalid_argument.
[[noreturn]] void invalid(std::initializer_list<Word> words);

}  // namespace fastconv
