// Walks a syntax tree and prints. One per render, used by one thread.
#pragma once

#include <string>

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace hadal::jinja {

/// Variables of one scope: the template, a loop's turn, a macro's call, a block. Reading goes up the parents.
struct Frame : Object {
  Frame* parent = nullptr;
  bool captured = false;  // a macro defined here may come back to it after it is left
  std::vector<std::pair<Symbol, Value>> variables;

  const Value* find_here(Symbol symbol) const;
  const Value* find(Symbol symbol) const;
  void set(Symbol symbol, Value value);
};

class Interpreter {
 public:
  Interpreter(Runtime& runtime, const SyntaxTree& tree) : runtime_(runtime), tree_(tree) {}

  /// Runs the template with `variables` in its outermost scope; the printed text. Throws Failure.
  std::string render(Frame& variables);

  /// Runs a macro's body; the printed text. `caller` may be null.
  Value call_macro(const MacroNode& macro, Frame* definition, const Arguments& arguments);
  /// One level of a recursive loop.
  Value run_recursive(const Statement& statement, const Value& items, Frame& frame, int depth);

 private:
  enum class Flow { kNext, kBreak, kContinue };

  // --- statements
  Flow execute(const Block& block, Frame& frame);
  Flow execute(const Statement& statement, Frame& frame);
  Flow execute_if(const Statement& statement, Frame& frame);
  void execute_for(const Statement& statement, const Value& items, Frame& frame, int depth);
  bool passes(const Statement& statement, const Value& item, Frame& frame);
  void execute_with(const Statement& statement, Frame& frame, Flow& flow);
  void execute_call_block(const Statement& statement, Frame& frame);
  void print(const Statement& statement, Frame& frame);
  void assign(const Expr& target, Value value, Frame& frame);
  /// The text that a block prints, instead of printing it.
  Value capture(const Block& block, Frame& frame, Flow& flow);
  Value define_macro(const MacroNode& macro, Frame& frame);
  Frame* new_frame(Frame* parent);

  // --- expressions (interpreter_expression.cc)
  Value evaluate(const Expr& expr, Frame& frame);
  Value evaluate_node(const Expr& expr, Frame& frame);
  Value evaluate_name(const Expr& expr, Frame& frame);
  Value evaluate_dict(const Expr& expr, Frame& frame);
  Value evaluate_subscript(const Expr& expr, Frame& frame);
  Value evaluate_compare(const Expr& expr, Frame& frame);
  Value evaluate_condition(const Expr& expr, Frame& frame);
  Value evaluate_concat(const Expr& expr, Frame& frame);
  Value evaluate_binary(const Expr& expr, Frame& frame);
  Value evaluate_call(const Expr& expr, Frame& frame, const Value* caller);
  Value evaluate_filter(const Expr& expr, Frame& frame, const Value* input);
  std::vector<Value> evaluate_all(const Expr& expr, Frame& frame);
  Arguments evaluate_arguments(const CallArguments* call, Frame& frame);

  Runtime& runtime_;
  const SyntaxTree& tree_;
  std::string* out_ = nullptr;
  int line_ = 0;  // of what runs now, for errors

};

}  // namespace hadal::jinja
