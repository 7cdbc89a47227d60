// Arrays as kernels take them: planes whose rows are dense, or that are dense themselves. Those laid out otherwise are
// copied, some planes at a time, to such memory or back from it; channels next to each other are transposed.
#pragma once
#include <type_traits>
#include <utility>

#include "pool/rows.hpp"

namespace fastconv {

// A view without its type.
struct AnyView {
  View<char> view;  // strides count elements
  int64_t bytes;    // of an element
  bool written, rows_suffice;

  template <class T>
  View<T> as() const {
    View<T> v;
    v.data = reinterpret_cast<T*>(view.data);
    for (int i = 0; i < 5; ++i) v.shape[i] = view.shape[i], v.stride[i] = view.stride[i];
    return v;
  }
};
template <class T>
AnyView any_view(const View<T>& v, bool rows_suffice) {
  AnyView any{{}, sizeof(T), !std::is_const_v<T>, rows_suffice};
  any.view.data = const_cast<char*>(reinterpret_cast<const char*>(v.data));
  for (int i = 0; i < 5; ++i) any.view.shape[i] = v.shape[i], any.view.stride[i] = v.stride[i];
  return any;
}

template <class... T, class Task, size_t... i>
void with_types(Task& task, const PoolProblem& p, const AnyView* views, std::index_sequence<i...>) {
  task(p, views[i].template as<T>()...);
}

using PlanesTask = void (*)(void* context, const PoolProblem& p, const AnyView* views);
bool in_dense_planes(const PoolProblem& p, AnyView* views, int count, PlanesTask task, void* context);

// task(problem, views...) for some planes at a time, unless all views are as they should be: then it returns false. Of
// view i dense rows suffice if bit i of `rows` is set. Views of null data stay so.
template <class Task, class... T>
bool in_dense_planes(const PoolProblem& p, unsigned rows, Task task, const View<T>&... views) {
  unsigned bit = 1;
  AnyView any[] = {[&](const auto& v) {
    const bool suffice = rows & bit;
    bit <<= 1;
    return any_view(v, suffice);
  }(views)...};
  return in_dense_planes(
      p, any, sizeof...(T),
      [](void* context, const PoolProblem& some, const AnyView* v) {
        with_types<T...>(*static_cast<Task*>(context), some, v, std::index_sequence_for<T...>{});
      },
      &task);
}

}  // namespace fastconv
