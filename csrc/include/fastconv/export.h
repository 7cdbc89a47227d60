/* FASTCONV_API marks what the shared library shows. Whoever links the static library on Windows defines
   FASTCONV_STATIC, as the CMake target fastconv::static does. */
#ifndef FASTCONV_EXPORT_H
#define FASTCONV_EXPORT_H

#if !defined(_WIN32)
#define FASTCONV_API __attribute__((visibility("default")))
#elif defined(FASTCONV_BUILDING)
#define FASTCONV_API __declspec(dllexport)
#elif defined(FASTCONV_STATIC)
#define FASTCONV_API
#else
#define FASTCONV_API __declspec(dllimport)
#endif

#endif
