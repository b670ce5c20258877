#include <algorithm>

#include "text/jinja/builtins.h"
#include "text/jinja/failure.h"
#include "text/jinja/parser_state.h"

namespace hadal::jinja {
ExprPtr Parser::parse_expression(Condexpr condexpr) {
  Nested nested(*this);
  return condexpr == Condexpr::kAllowed ? parse_condition() : parse_or();
}

ExprPtr Parser::parse_condition() {
  Nested nested(*this);
  const int line = current().line;
  const size_t unknown = unknown_.size();
  ExprPtr value = parse_or();
  if (at_name("if")) unknown_.resize(unknown);  // what stands before `if` may never run
  ++branches_;
  while (skip_name("if")) {
    ExprPtr node = make(ExprKind::kCondition, line);
    adopt(*node, parse_or());
    adopt(*node, std::move(value));
    adopt(*node, skip_name("else") ? parse_condition() : nullptr);
    value = std::move(node);
  }
  --branches_;
  return value;
}

ExprPtr Parser::parse_or() {
  ExprPtr left = parse_and();
  while (at_name("or")) {
    const int line = current().line;
    advance();
    left = join(ExprKind::kOr, line, std::move(left), parse_and());
  }
  return left;
}

ExprPtr Parser::parse_and() {
  ExprPtr left = parse_not();
  while (at_name("and")) {
    const int line = current().line;
    advance();
    left = join(ExprKind::kAnd, line, std::move(left), parse_not());
  }
  return left;
}

ExprPtr Parser::parse_not() {
  if (!at_name("not")) return parse_compare();
  Nested nested(*this);
  ExprPtr node = make(ExprKind::kNot, current().line);
  advance();
  adopt(*node, parse_not());
  return node;
}

ExprPtr Parser::parse_compare() {
  static const std::pair<std::string_view, CompareOp> kOperators[] = {
      {"==", CompareOp::kEqual}, {"!=", CompareOp::kNotEqual},    {"<", CompareOp::kLess},
      {">", CompareOp::kGreater}, {"<=", CompareOp::kLessEqual}, {">=", CompareOp::kGreaterEqual}};
  ExprPtr first = parse_sum();
  ExprPtr node;
  auto add = [&](CompareOp op) {
    if (!node) {
      node = make(ExprKind::kCompare, current().line);
      adopt(*node, std::move(first));
    }
    node->operators.push_back(op);
    adopt(*node, parse_sum());
  };
  while (true) {
    const auto* op = std::find_if(std::begin(kOperators), std::end(kOperators),
                                  [&](const auto& entry) { return at_operator(entry.first); });
    if (op != std::end(kOperators)) {
      advance();
      add(op->second);
    } else if (skip_name("in")) {
      add(CompareOp::kIn);
    } else if (at_name("not") && look().kind == TokenKind::kName && look().text == "in") {
      advance();
      advance();
      add(CompareOp::kNotIn);
    } else {
      return node ? std::move(node) : std::move(first);
    }
  }
}

ExprPtr Parser::parse_sum() {
  ExprPtr left = parse_concat();
  while (at_operator("+") || at_operator("-")) {
    const Token op = current();
    advance();
    left = join(op.text == "+" ? ExprKind::kAdd : ExprKind::kSubtract, op.line, std::move(left), parse_concat());
  }
  return left;
}

ExprPtr Parser::parse_concat() {
  ExprPtr first = parse_product();
  if (!at_operator("~")) return first;
  ExprPtr node = make(ExprKind::kConcat, current().line);
  adopt(*node, std::move(first));
  while (skip_operator("~")) adopt(*node, parse_product());
  return node;
}

ExprPtr Parser::parse_product() {
  ExprPtr left = parse_power();
  while (at_operator("*") || at_operator("/") || at_operator("//") || at_operator("%")) {
    const Token op = current();
    advance();
    const ExprKind kind = op.text == "*"    ? ExprKind::kMultiply
                          : op.text == "/"  ? ExprKind::kDivide
                          : op.text == "//" ? ExprKind::kFloorDivide
                                            : ExprKind::kModulo;
    left = join(kind, op.line, std::move(left), parse_power());
  }
  return left;
}

ExprPtr Parser::parse_power() {
  ExprPtr left = parse_unary();
  while (at_operator("**")) {
    const int line = current().line;
    advance();
    left = join(ExprKind::kPower, line, std::move(left), parse_unary());
  }
  return left;
}

ExprPtr Parser::parse_unary(Filters filters) {
  Nested nested(*this);
  ExprPtr node;
  if (at_operator("-") || at_operator("+")) {
    node = make(at_operator("-") ? ExprKind::kNegative : ExprKind::kPositive, current().line);
    advance();
    adopt(*node, parse_unary(Filters::kNot));
  } else {
    node = parse_primary();
  }
  node = parse_postfix(std::move(node));
  if (filters == Filters::kAllowed) node = parse_filters_and_tests(std::move(node));
  return node;
}

ExprPtr Parser::parse_name(NamespaceTarget namespace_target) {
  const int line = current().line;
  const std::string name = take_name();
  ExprPtr node = make(ExprKind::kConstant, line);
  if (name == "true" || name == "True") {
    node->constant = Value(true);
  } else if (name == "false" || name == "False") {
    node->constant = Value(false);
  } else if (name != "none" && name != "None") {
    node->kind = ExprKind::kName;
    node->symbol = symbol(name);
    note_use(name);
    if (namespace_target == NamespaceTarget::kAllowed && skip_operator(".")) {
      node->kind = ExprKind::kNamespaceTarget;
      node->text = take_name();
    }
  }
  return node;
}

ExprPtr Parser::parse_primary(NamespaceTarget namespace_target) {
  const Token token = current();
  switch (token.kind) {
    case TokenKind::kName: return parse_name(namespace_target);
    case TokenKind::kString: {
      std::string text;
      for (; at(TokenKind::kString); advance()) text += current().text;
      ExprPtr node = make(ExprKind::kConstant, token.line);
      node->constant = constant_text(std::move(text));
      return node;
    }
    case TokenKind::kInteger:
    case TokenKind::kFloat: {
      advance();
      ExprPtr node = make(ExprKind::kConstant, token.line);
      node->constant = token.kind == TokenKind::kInteger ? Value(token.integer) : Value(token.number);
      return node;
    }
    default: break;
  }
  if (at_operator("[")) return parse_list();
  if (at_operator("{")) return parse_dict();
  if (skip_operator("(")) {
    ExprPtr node = parse_tuple({.parenthesized = true});
    expect_operator(")");
    return node;
  }
  fail_syntax(token.line, "unexpected '{}'", describe(token));
}

ExprPtr Parser::parse_list() {
  ExprPtr node = make(ExprKind::kList, current().line);
  expect_operator("[");
  while (!at_operator("]")) {
    if (!node->children.empty()) expect_operator(",");
    if (at_operator("]")) break;
    adopt(*node, parse_expression());
  }
  expect_operator("]");
  return node;
}

ExprPtr Parser::parse_dict() {
  ExprPtr node = make(ExprKind::kDict, current().line);
  expect_operator("{");
  while (!at_operator("}")) {
    if (!node->children.empty()) expect_operator(",");
    if (at_operator("}")) break;
    adopt(*node, parse_expression());
    expect_operator(":");
    adopt(*node, parse_expression());
  }
  expect_operator("}");
  return node;
}

bool Parser::at_tuple_end(std::string_view end_name) const {
  return at(TokenKind::kVariableEnd) || at(TokenKind::kBlockEnd) || at_operator(")") ||
         (!end_name.empty() && at_name(end_name));
}

ExprPtr Parser::parse_tuple(const TupleRules& rules) {
  ExprPtr tuple = make(ExprKind::kTuple, current().line);
  bool is_tuple = false;
  while (true) {
    if (!tuple->children.empty()) expect_operator(",");
    if (at_tuple_end(rules.end_name)) break;
    adopt(*tuple, rules.simplified ? parse_primary(rules.namespace_target) : parse_expression(rules.condexpr));
    if (!at_operator(",")) break;
    is_tuple = true;
  }
  if (is_tuple) return tuple;
  if (!tuple->children.empty()) return std::move(tuple->children[0]);
  if (!rules.parenthesized) unexpected("an expression");
  return tuple;
}

ExprPtr Parser::parse_target(std::string_view end_name, NamespaceTarget namespace_target) {
  ExprPtr target =
      parse_tuple({.simplified = true, .end_name = end_name, .namespace_target = namespace_target});
  declare_target(*target);
  return target;
}

void Parser::declare_target(const Expr& target) const {
  if (target.kind == ExprKind::kName || target.kind == ExprKind::kNamespaceTarget) return;
  if (target.kind != ExprKind::kTuple && target.kind != ExprKind::kList) {
    fail_syntax(target.line, "this cannot be assigned to");
  }
  for (const ExprPtr& child : target.children) declare_target(*child);
}

ExprPtr Parser::parse_postfix(ExprPtr node) {
  while (true) {
    if (at_operator(".") || at_operator("[")) {
      node = parse_subscript(std::move(node));
    } else if (at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::parse_filters_and_tests(ExprPtr node) {
  while (true) {
    if (skip_operator("|")) {
      node = parse_filter(std::move(node));
    } else if (skip_name("is")) {
      node = parse_test(std::move(node));
    } else if (at_operator("(")) {
      node = parse_call(std::move(node));
    } else {
      return node;
    }
  }
}

ExprPtr Parser::parse_subscript(ExprPtr node) {
  const int line = current().line;
  if (skip_operator(".")) {
    if (at(TokenKind::kName)) {
      ExprPtr attribute = make(ExprKind::kAttribute, line);
      attribute->text = take_name();
      attribute->constant = constant_text(attribute->text);
      adopt(*attribute, std::move(node));
      return attribute;
    }
    if (!at(TokenKind::kInteger)) unexpected("a name or number");
    return join(ExprKind::kSubscript, line, std::move(node), parse_primary());
  }
  expect_operator("[");
  ExprPtr tuple = make(ExprKind::kTuple, line);
  while (!at_operator("]")) {
    if (!tuple->children.empty()) expect_operator(",");
    adopt(*tuple, parse_subscribed());
  }
  expect_operator("]");
  ExprPtr key = tuple->children.size() == 1 ? std::move(tuple->children[0]) : std::move(tuple);
  return join(ExprKind::kSubscript, line, std::move(node), std::move(key));
}

ExprPtr Parser::parse_subscribed() {
  const int line = current().line;
  ExprPtr first;
  if (!at_operator(":")) {
    first = parse_expression();
    if (!at_operator(":")) return first;
  }
  expect_operator(":");
  ExprPtr slice = make(ExprKind::kSlice, line);
  adopt(*slice, std::move(first));
  const auto ends = [this] { return at_operator("]") || at_operator(","); };
  adopt(*slice, at_operator(":") || ends() ? nullptr : parse_expression());
  adopt(*slice, skip_operator(":") && !ends() ? parse_expression() : nullptr);
  return slice;
}

std::unique_ptr<CallArguments> Parser::parse_arguments(int& depth) {
  const int line = current().line;
  expect_operator("(");
  auto arguments = std::make_unique<CallArguments>();
  bool comma = false;
  const auto ensure = [line](bool good) {
    if (!good) fail_syntax(line, "invalid syntax for function call expression");
  };
  const auto take = [&] {
    ExprPtr value = parse_expression();
    depth = std::max(depth, value->depth + 1);
    return value;
  };
  while (!at_operator(")")) {
    if (comma) {
      expect_operator(",");
      if (at_operator(")")) break;
    }
    comma = true;
    if (skip_operator("*")) {
      ensure(!arguments->star && !arguments->double_star);
      arguments->star = take();
    } else if (skip_operator("**")) {
      ensure(!arguments->double_star);
      arguments->double_star = take();
    } else if (at(TokenKind::kName) && look().kind == TokenKind::kOperator && look().text == "=") {
      ensure(!arguments->double_star);
      std::string name = take_name();
      advance();
      for (const auto& given : arguments->named) {
        if (given.first == name) fail_syntax(line, "keyword argument repeated: {}", name);
      }
      arguments->named.emplace_back(std::move(name), take());
    } else {
      ensure(!arguments->star && !arguments->double_star && arguments->named.empty());
      arguments->positional.push_back(take());
    }
  }
  expect_operator(")");
  return arguments;
}

ExprPtr Parser::parse_call(ExprPtr node) {
  ExprPtr call = make(ExprKind::kCall, current().line);
  adopt(*call, std::move(node));
  call->call = parse_arguments(call->depth);
  if (call->depth > kMaxSyntaxDepth) fail_syntax(call->line, "an expression nests deeper than {} levels", kMaxSyntaxDepth);
  return call;
}

ExprPtr Parser::parse_filter(ExprPtr node) {
  ExprPtr filter = make(ExprKind::kFilter, current().line);
  filter->text = take_name();
  while (skip_operator(".")) filter->text += "." + take_name();
  if (!is_filter(filter->text)) note_unknown("filter", filter->text);
  adopt(*filter, std::move(node));
  if (at_operator("(")) filter->call = parse_arguments(filter->depth);
  if (filter->depth > kMaxSyntaxDepth) fail_syntax(filter->line, "an expression nests deeper than {} levels", kMaxSyntaxDepth);
  return filter;
}

ExprPtr Parser::parse_test(ExprPtr node) {
  ExprPtr test = make(ExprKind::kTest, current().line);
  const bool negated = skip_name("not");
  test->text = take_name();
  while (skip_operator(".")) test->text += "." + take_name();
  if (!is_test(test->text)) note_unknown("test", test->text);
  adopt(*test, std::move(node));
  if (at_operator("(")) {
    test->call = parse_arguments(test->depth);
  } else if (at(TokenKind::kString) || at(TokenKind::kInteger) || at(TokenKind::kFloat) || at_operator("[") ||
             at_operator("{") || (at(TokenKind::kName) && !at_name("else") && !at_name("or") && !at_name("and"))) {
    if (at_name("is")) fail_syntax(current().line, "You cannot chain multiple tests with is");
    test->call = std::make_unique<CallArguments>();
    test->call->positional.push_back(parse_postfix(parse_primary()));
    test->depth = std::max(test->depth, test->call->positional[0]->depth + 1);
  }
  if (test->depth > kMaxSyntaxDepth) fail_syntax(test->line, "an expression nests deeper than {} levels", kMaxSyntaxDepth);
  if (!negated) return test;
  ExprPtr negation = make(ExprKind::kNot, test->line);
  adopt(*negation, std::move(test));
  return negation;
}

}  // namespace hadal::jinja
