// Messages put together from texts and numbers: one call, where a sum of strings would be a temporary for each.
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

  void append_to(std::string& s) const {
    if (text_) s += text_;
    else s += std::to_string(number_);
  }

 private:
  const char* text_ = nullptr;
  int64_t number_ = 0;
};

inline std::string message(std::initializer_list<Word> words) {
  std::string s;
  for (const Word& word : words) word.append_to(s);
  return s;
}

}  // namespace fastconv
