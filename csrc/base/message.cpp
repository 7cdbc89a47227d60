#include "base/message.hpp"

#include <stdexcept>

namespace fastconv {

void Word::append_to(std::string& s) const {
  if (text_) s += text_;
  else s += std::to_string(number_);
}

std::string message(std::initializer_list<Word> words) {
  std::string s;
  for (const Word& word : words) word.append_to(s);
  return s;
}

void invalid(std::initializer_list<Word> words) { throw std::invalid_argument(message(words)); }

}  // namespace fastconv
