/// fmt's compiled part, as a piece of the program itself. Debian has libfmt only as a shared library, and with it comes
/// libstdc++: loading the two takes a third of a millisecond, a quarter of what `apply` needs for its whole job.
/// Header-only fmt instead would cost every source file two seconds of compiling.
///
/// Not linked into builds with sanitizers. cmake/few_libraries.cmake sees to it that the program stays like that.

#include <fmt/format-inl.h>

static_assert(FMT_VERSION / 10000 == 9, "another fmt: see which explicit instantiations its src/format.cc has");

FMT_BEGIN_NAMESPACE
namespace detail {

template FMT_API auto dragonbox::to_decimal(float x) noexcept -> dragonbox::decimal_fp<float>;
template FMT_API auto dragonbox::to_decimal(double x) noexcept -> dragonbox::decimal_fp<double>;
template FMT_API auto thousands_sep_impl(locale_ref) -> thousands_sep_result<char>;
template FMT_API auto decimal_point_impl(locale_ref) -> char;
template FMT_API void buffer<char>::append(const char*, const char*);

}  // namespace detail
FMT_END_NAMESPACE
