#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/operations.h"

namespace hadal::jinja {

Value Interpreter::evaluate(const Expr& expr, Frame& frame) {
  switch (expr.kind) {  // the leaves need neither a level nor more than a step
    case ExprKind::kConstant: runtime_.charge(1); return expr.constant;
    case ExprKind::kName: return evaluate_name(expr, frame);
    default: break;
  }
  Runtime::Deeper deeper(runtime_);
  runtime_.charge(1);
  return evaluate_node(expr, frame);
}

Value Interpreter::evaluate_name(const Expr& expr, Frame& frame) {
  runtime_.charge(1);
  if (const Value* found = frame.find(expr.symbol)) return *found;
  const std::string& name = tree_.names[static_cast<size_t>(expr.symbol)];
  if (auto global = find_global(runtime_, name)) return *global;
  return runtime_.undefined("'" + name + "' is undefined");
}

Value Interpreter::evaluate_node(const Expr& expr, Frame& frame) {
  switch (expr.kind) {
    case ExprKind::kConstant: return expr.constant;
    case ExprKind::kName: return evaluate_name(expr, frame);
    case ExprKind::kList: return runtime_.list(evaluate_all(expr, frame));
    case ExprKind::kTuple: return runtime_.tuple(evaluate_all(expr, frame));
    case ExprKind::kDict: return evaluate_dict(expr, frame);
    case ExprKind::kAttribute: return get_attribute(runtime_, evaluate(*expr.children[0], frame), expr.constant);
    case ExprKind::kSubscript: return evaluate_subscript(expr, frame);
    case ExprKind::kCall: return evaluate_call(expr, frame, nullptr);
    case ExprKind::kFilter: return evaluate_filter(expr, frame, nullptr);
    case ExprKind::kTest: {
      const Value value = evaluate(*expr.children[0], frame);
      return Value(call_test(runtime_, expr.text, value, evaluate_arguments(expr.call.get(), frame)));
    }
    case ExprKind::kNot: return Value(!truthy(evaluate(*expr.children[0], frame)));
    case ExprKind::kNegative: return negative(runtime_, evaluate(*expr.children[0], frame));
    case ExprKind::kPositive: return positive(runtime_, evaluate(*expr.children[0], frame));
    case ExprKind::kAnd: {
      Value left = evaluate(*expr.children[0], frame);
      return truthy(left) ? evaluate(*expr.children[1], frame) : left;
    }
    case ExprKind::kOr: {
      Value left = evaluate(*expr.children[0], frame);
      return truthy(left) ? left : evaluate(*expr.children[1], frame);
    }
    case ExprKind::kCondition: return evaluate_condition(expr, frame);
    case ExprKind::kCompare: return evaluate_compare(expr, frame);
    case ExprKind::kConcat: return evaluate_concat(expr, frame);
    case ExprKind::kSlice: fail("a slice can only stand alone in a subscript");
    case ExprKind::kNamespaceTarget: fail("a namespace attribute cannot be read here");
    default: return evaluate_binary(expr, frame);
  }
}

std::vector<Value> Interpreter::evaluate_all(const Expr& expr, Frame& frame) {
  std::vector<Value> values;
  values.reserve(expr.children.size());
  for (const ExprPtr& child : expr.children) values.push_back(evaluate(*child, frame));
  return values;
}

Value Interpreter::evaluate_dict(const Expr& expr, Frame& frame) {
  std::vector<std::pair<Value, Value>> entries;
  for (size_t i = 0; i + 1 < expr.children.size(); i += 2) {
    Value key = evaluate(*expr.children[i], frame);
    runtime_.charge_text(key.text().size());
    key_form(key);  // refuses what cannot be a key
    entries.emplace_back(std::move(key), evaluate(*expr.children[i + 1], frame));
  }
  return runtime_.dict(std::move(entries));
}

Value Interpreter::evaluate_subscript(const Expr& expr, Frame& frame) {
  const Value object = evaluate(*expr.children[0], frame);
  const Expr& key = *expr.children[1];
  if (key.kind != ExprKind::kSlice) return get_item(runtime_, object, evaluate(key, frame));
  const auto part = [&](size_t i) { return key.children[i] ? evaluate(*key.children[i], frame) : Value(); };
  const Value start = part(0);
  const Value stop = part(1);
  return get_slice(runtime_, object, start, stop, part(2));
}

Value Interpreter::evaluate_condition(const Expr& expr, Frame& frame) {
  if (truthy(evaluate(*expr.children[0], frame))) return evaluate(*expr.children[1], frame);
  if (expr.children[2]) return evaluate(*expr.children[2], frame);
  return runtime_.undefined(fmt::format(
      "the inline if-expression on line {} evaluated to false and no else section was defined.", expr.line));
}

Value Interpreter::evaluate_compare(const Expr& expr, Frame& frame) {
  Value left = evaluate(*expr.children[0], frame);
  for (size_t i = 0; i < expr.operators.size(); ++i) {
    Value right = evaluate(*expr.children[i + 1], frame);
    if (!compare(runtime_, expr.operators[i], left, right)) return Value(false);
    left = std::move(right);
  }
  return Value(true);
}

Value Interpreter::evaluate_concat(const Expr& expr, Frame& frame) {
  std::string text;
  for (const ExprPtr& child : expr.children) {
    append_string(runtime_, text, evaluate(*child, frame));
    runtime_.check_room(text.size());
  }
  return runtime_.text(std::move(text));
}

Value Interpreter::evaluate_binary(const Expr& expr, Frame& frame) {
  const Value a = evaluate(*expr.children[0], frame);
  const Value b = evaluate(*expr.children[1], frame);
  switch (expr.kind) {
    case ExprKind::kAdd: return add(runtime_, a, b);
    case ExprKind::kSubtract: return subtract(runtime_, a, b);
    case ExprKind::kMultiply: return multiply(runtime_, a, b);
    case ExprKind::kDivide: return divide(runtime_, a, b);
    case ExprKind::kFloorDivide: return floor_divide(runtime_, a, b);
    case ExprKind::kModulo: return modulo(runtime_, a, b);
    default: return power(runtime_, a, b);
  }
}

Arguments Interpreter::evaluate_arguments(const CallArguments* call, Frame& frame) {
  Arguments arguments;
  if (call == nullptr) return arguments;
  for (const ExprPtr& value : call->positional) arguments.positional.push_back(evaluate(*value, frame));
  for (const auto& [name, value] : call->named) arguments.named.emplace_back(name, evaluate(*value, frame));
  if (call->star) {
    for (Value& value : to_vector(runtime_, evaluate(*call->star, frame))) {
      arguments.positional.push_back(std::move(value));
    }
  }
  if (call->double_star) {
    const Value value = evaluate(*call->double_star, frame);
    const auto* dict = value.as<Dict*>();
    if (dict == nullptr) fail("argument after ** must be a mapping, not {}", type_name(value));
    for (const auto& [key, item] : (*dict)->entries) {
      if (!key.is_string()) fail("keywords must be strings");
      if (arguments.find(key.text()) != nullptr) fail("got multiple values for keyword argument '{}'", key.text());
      arguments.named.emplace_back(std::string(key.text()), item);
    }
  }
  return arguments;
}

Value Interpreter::evaluate_call(const Expr& expr, Frame& frame, const Value* caller) {
  const Value callee = evaluate(*expr.children[0], frame);
  Arguments arguments = evaluate_arguments(expr.call.get(), frame);
  if (caller != nullptr) arguments.named.emplace_back("caller", *caller);
  const int line = line_ = expr.line;
  Value result = call_value(runtime_, callee, arguments);
  line_ = line;
  return result;
}

Value Interpreter::evaluate_filter(const Expr& expr, Frame& frame, const Value* input) {
  // A filter block has no expression at the left end of its chain: the block's text goes in there.
  const Value value = !expr.children[0] ? (input ? *input : Value())
                      : input != nullptr && expr.children[0]->kind == ExprKind::kFilter
                          ? evaluate_filter(*expr.children[0], frame, input)
                          : evaluate(*expr.children[0], frame);
  const Arguments arguments = evaluate_arguments(expr.call.get(), frame);
  return call_filter(runtime_, expr.text, value, arguments);
}

}  // namespace hadal::jinja
