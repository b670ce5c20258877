// What may follow `is`.
#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/numbers.h"
#include "text/jinja/operations.h"
#include "text/jinja/unicode.h"

namespace hadal::jinja {
namespace {

/// value % divisor == 0 (or 1), by the operator's own rules for types.
bool leaves(Runtime& r, const Value& value, const Value& divisor, Int rest) {
  return equal(r, modulo(r, value, divisor), Value(rest));
}

bool all_cased(std::string_view text, bool (*wanted)(char32_t), bool (*unwanted)(char32_t)) {
  bool any = false;
  for (size_t i = 0; i < text.size();) {
    const char32_t c = next_code_point(text, i);
    if (unwanted(c)) return false;
    any = any || wanted(c);
  }
  return any;
}

bool is_sequence(const Value& v) { return v.is_string() || v.sequence() || v.is<Dict*>() || v.is<Range*>() || v.is_undefined(); }
bool is_callable_value(const Value& v) {
  const auto* callable = v.as<Callable*>();
  return v.is_undefined() || (callable != nullptr && (*callable)->is_callable());
}

Value compare_test(Runtime& r, CompareOp op, const Value& self, const Bound& a) { return Value(compare(r, op, self, a.at(0))); }

#define HADAL_TEST(expression) [](Runtime& r, const Value& v, const Bound& a) -> Value { \
  (void)r, (void)a;                                                                      \
  return Value(static_cast<bool>(expression));                                           \
}
#define HADAL_COMPARE(op) [](Runtime& r, const Value& v, const Bound& a) { return compare_test(r, CompareOp::op, v, a); }

constexpr Builtin kTests[] = {
    {"defined", HADAL_TEST(!v.is_undefined())},
    {"undefined", HADAL_TEST(v.is_undefined())},
    {"none", HADAL_TEST(v.is_none())},
    {"string", HADAL_TEST(v.is_string())},
    {"number", HADAL_TEST(v.number())},
    {"integer", HADAL_TEST(v.is<Int>())},
    {"float", HADAL_TEST(v.is<double>())},
    {"boolean", HADAL_TEST(v.is<bool>())},
    {"mapping", HADAL_TEST(v.is<Dict*>())},
    {"sequence", HADAL_TEST(is_sequence(v))},
    {"iterable", HADAL_TEST(is_iterable(v))},
    {"callable", HADAL_TEST(is_callable_value(v))},
    {"true", HADAL_TEST(v.is<bool>() && *v.as<bool>())},
    {"false", HADAL_TEST(v.is<bool>() && !*v.as<bool>())},
    {"escaped", HADAL_TEST(v.is_markup())},
    {"odd", HADAL_TEST(leaves(r, v, Value(Int(2)), 1))},
    {"even", HADAL_TEST(leaves(r, v, Value(Int(2)), 0))},
    {"divisibleby", HADAL_TEST(leaves(r, v, a.at(0), 0)), "num"},
    {"lower", HADAL_TEST(all_cased(to_string(r, v), is_lower, is_upper))},
    {"upper", HADAL_TEST(all_cased(to_string(r, v), is_upper, is_lower))},
    {"sameas", HADAL_TEST(same(v, a.at(0))), "other"},
    {"filter", HADAL_TEST(v.is_string() && is_filter(v.text()))},
    {"test", HADAL_TEST(v.is_string() && is_test(v.text()))},
    {"in", HADAL_COMPARE(kIn), "seq"},
    {"eq", HADAL_COMPARE(kEqual), "other"},
    {"equalto", HADAL_COMPARE(kEqual), "other"},
    {"==", HADAL_COMPARE(kEqual), "other"},
    {"ne", HADAL_COMPARE(kNotEqual), "other"},
    {"!=", HADAL_COMPARE(kNotEqual), "other"},
    {"lt", HADAL_COMPARE(kLess), "other"},
    {"lessthan", HADAL_COMPARE(kLess), "other"},
    {"<", HADAL_COMPARE(kLess), "other"},
    {"le", HADAL_COMPARE(kLessEqual), "other"},
    {"<=", HADAL_COMPARE(kLessEqual), "other"},
    {"gt", HADAL_COMPARE(kGreater), "other"},
    {"greaterthan", HADAL_COMPARE(kGreater), "other"},
    {">", HADAL_COMPARE(kGreater), "other"},
    {"ge", HADAL_COMPARE(kGreaterEqual), "other"},
    {">=", HADAL_COMPARE(kGreaterEqual), "other"},
};

#undef HADAL_TEST
#undef HADAL_COMPARE

}  // namespace

bool is_test(std::string_view name) { return find_builtin(kTests, name) != nullptr; }

bool call_test(Runtime& runtime, std::string_view name, const Value& value, const Arguments& arguments) {
  const Builtin* test = find_builtin(kTests, name);
  if (test == nullptr) fail("No test named '{}' found.", name);
  return truthy(call_builtin(runtime, *test, value, arguments));
}

}  // namespace hadal::jinja
