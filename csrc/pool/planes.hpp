// Arrays as kernels take them: planes whose rows are dense, or that are dense themselves, or pixels whose planes lie
// side by side. Those laid out otherwise are copied, some planes at a time, to such memory or back from it, by
// transposes where channels are next to each other on one side.
#pragma once
#include <type_traits>
#include <utility>

#include "pool/rows.hpp"

namespace fastconv {

// A view without its type.
struct AnyView {
  View<char> view;                       // strides count elements
  int64_t bytes;                         // of an element
  bool written, rows_suffice, internal;  // internal: memory of the task's own

  template <class T>
  View<T> as() const {
    View<T> v;
    v.data = reinterpret_cast<T*>(view.data);
    for (int i = 0; i < 5; ++i) v.shape[i] = view.shape[i], v.stride[i] = view.stride[i];
    return v;
  }
};
template <class T>
AnyView any_view(const View<T>& v, bool rows_suffice = false) {
  AnyView any{{}, sizeof(T), !std::is_const_v<T>, rows_suffice, false};
  any.view.data = const_cast<char*>(reinterpret_cast<const char*>(v.data));
  for (int i = 0; i < 5; ++i) any.view.shape[i] = v.shape[i], any.view.stride[i] = v.stride[i];
  return any;
}

template <class... T, class Task, size_t... i>
void with_types(Task& task, const PoolProblem& p, const AnyView* views, std::index_sequence<i...>) {
  task(p, views[i].template as<T>()...);
}

enum class PlaneLayout : uint8_t { planes, pixels };
using PlanesTask = void (*)(void* context, const PoolProblem& p, const AnyView* views);
bool in_layout(PlaneLayout layout, const PoolProblem& p, AnyView* views, int count, PlanesTask task, void* context);
template <class... T, class Task>
bool in_layout(PlaneLayout layout, const PoolProblem& p, AnyView* views, Task& task) {
  return in_layout(
      layout, p, views, sizeof...(T),
      [](void* context, const PoolProblem& some, const AnyView* v) {
        with_types<T...>(*static_cast<Task*>(context), some, v, std::index_sequence_for<T...>{});
      },
      &task);
}

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
  return in_layout<T...>(PlaneLayout::planes, p, any, task);
}

// The same for pixels; views of null data become memory of the task's own. All views are as they should be: the task
// gets them as they are.
template <class Task>
void in_pixels(const PoolProblem& p, AnyView* views, int count, Task task) {
  for (int i = 0; i < count; ++i) views[i].internal = !views[i].view.data;
  auto call = [](void* context, const PoolProblem& some, const AnyView* v) { (*static_cast<Task*>(context))(some, v); };
  if (!in_layout(PlaneLayout::pixels, p, views, count, call, &task)) task(p, views);
}

}  // namespace fastconv
