#include "bindings/unlocked.hpp"

#include <chrono>
#include <thread>

namespace fastconv {

// Before 3.14 Python ends a daemon thread that asks for the lock when all is over by unwinding its stack, which no
// destructor lets pass: the process would abort. As of 3.14 such a thread waits for ever, and here it does.
Unlocked::~Unlocked() {
  try {
    PyEval_RestoreThread(thread_);
  } catch (...) {
    for (;;) std::this_thread::sleep_for(std::chrono::hours(1));
  }
}

}  // namespace fastconv
