// Python's lock, let go of while kernels run.
#pragma once
#include <Python.h>

namespace fastconv {

class Unlocked {
 public:
  Unlocked() : thread_(PyEval_SaveThread()) {}
  ~Unlocked();  // waits for the lock; at Python's end for the end of the process
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;

 private:
  PyThreadState* const thread_;
};

}  // namespace fastconv
