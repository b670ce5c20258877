#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/failure.h"
#include "text/jinja/loop.h"
#include "text/jinja/operations.h"

namespace hadal::jinja {
namespace {

/// Macros and the blocks of `call`.
struct Macro : Callable {
  Interpreter* interpreter = nullptr;
  const MacroNode* node = nullptr;
  Frame* definition = nullptr;
  Value call(Runtime&, const Arguments& arguments) override {
    return interpreter->call_macro(*node, definition, arguments);
  }
  std::optional<Value> attribute(Runtime& runtime, std::string_view name) override {
    if (name == "name") return runtime.text(node->name);
    if (name == "catch_varargs") return Value(node->uses_varargs);
    if (name == "catch_kwargs") return Value(node->uses_kwargs);
    if (name == "caller") return Value(node->uses_caller);
    if (name != "arguments") return std::nullopt;
    std::vector<Value> names;
    for (const auto& parameter : node->parameters) names.push_back(runtime.text(parameter.first));
    return runtime.tuple(std::move(names));
  }
  std::string describe() const override { return "<Macro '" + node->name + "'>"; }
  std::string type_name() const override { return "Macro"; }
};

/// Keeps the names of *args and **kwargs beyond a macro's own parameters, or says why they are too many.
struct Extras {
  std::vector<Value> positional;
  std::vector<std::pair<Value, Value>> named;
  const Value* caller = nullptr;
};

bool is_parameter(const MacroNode& macro, std::string_view name) {
  return std::any_of(macro.parameters.begin(), macro.parameters.end(),
                     [name](const auto& parameter) { return parameter.first == name; });
}

Extras collect_extras(Runtime& runtime, const MacroNode& macro, const Arguments& arguments) {
  Extras extras;
  for (size_t i = macro.parameters.size(); i < arguments.positional.size(); ++i) {
    extras.positional.push_back(arguments.positional[i]);
  }
  for (const auto& [name, value] : arguments.named) {
    if (is_parameter(macro, name)) continue;
    if (name == "caller" && macro.uses_caller) {
      extras.caller = &value;
    } else {
      extras.named.emplace_back(runtime.text(name), value);
    }
  }
  if (!extras.named.empty() && !macro.uses_kwargs) {
    fail("macro '{}' takes no keyword argument '{}'", macro.name, extras.named[0].first.text());
  }
  if (!extras.positional.empty() && !macro.uses_varargs) {
    fail("macro '{}' takes not more than {} argument(s)", macro.name, macro.parameters.size());
  }
  return extras;
}

}  // namespace

const Value* Frame::find_here(Symbol symbol) const {
  for (const auto& [s, v] : variables) {
    if (s == symbol) return &v;
  }
  return nullptr;
}

const Value* Frame::find(Symbol symbol) const {
  for (const Frame* frame = this; frame != nullptr; frame = frame->parent) {
    if (const Value* found = frame->find_here(symbol)) return found;
  }
  return nullptr;
}

void Frame::set(Symbol symbol, Value value) {
  for (auto& [s, v] : variables) {
    if (s == symbol) {
      v = std::move(value);
      return;
    }
  }
  variables.emplace_back(symbol, std::move(value));
}

std::string Interpreter::render(Frame& variables) {
  std::string out;
  out_ = &out;
  try {
    execute(tree_.body, variables);
  } catch (Failure& failure) {
    if (failure.line == 0) failure.line = line_;
    throw;
  }
  return out;
}

Frame* Interpreter::new_frame(Frame* parent) {
  Frame* frame = runtime_.make<Frame>();
  frame->parent = parent;
  return frame;
}

Interpreter::Flow Interpreter::execute(const Block& block, Frame& frame) {
  Runtime::Deeper deeper(runtime_);
  for (const auto& statement : block) {
    const Flow flow = execute(*statement, frame);
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Interpreter::Flow Interpreter::execute(const Statement& statement, Frame& frame) {
  runtime_.charge(1);
  line_ = statement.line;
  Flow flow = Flow::kNext;
  switch (statement.kind) {
    case StatementKind::kOutput: print(statement, frame); break;
    case StatementKind::kIf: return execute_if(statement, frame);
    case StatementKind::kFor: execute_for(statement, evaluate(*statement.expr, frame), frame, 0); break;
    case StatementKind::kSet: assign(*statement.target, evaluate(*statement.expr, frame), frame); break;
    case StatementKind::kSetBlock: {
      Value text = capture(statement.body, *new_frame(&frame), flow);
      if (statement.expr) text = evaluate_filter(*statement.expr, frame, &text);
      assign(*statement.target, std::move(text), frame);
      break;
    }
    case StatementKind::kMacro: frame.set(statement.macro->symbol, define_macro(*statement.macro, frame)); break;
    case StatementKind::kCallBlock: execute_call_block(statement, frame); break;
    case StatementKind::kFilterBlock: {
      const Value text = capture(statement.body, *new_frame(&frame), flow);
      const std::string shown = to_string(runtime_, evaluate_filter(*statement.expr, frame, &text));
      runtime_.charge_output(shown.size());
      *out_ += shown;
      break;
    }
    case StatementKind::kWith: execute_with(statement, frame, flow); break;
    case StatementKind::kScope: return execute(statement.body, frame);
    case StatementKind::kBreak: return Flow::kBreak;
    case StatementKind::kContinue: return Flow::kContinue;
  }
  return flow;
}

void Interpreter::print(const Statement& statement, Frame& frame) {
  const size_t before = out_->size();
  if (statement.expr) {
    append_string(runtime_, *out_, evaluate(*statement.expr, frame));
  } else {
    *out_ += statement.text;
  }
  runtime_.charge_output(out_->size() - before);
}

Interpreter::Flow Interpreter::execute_if(const Statement& statement, Frame& frame) {
  for (const auto& [condition, body] : statement.branches) {
    if (!condition || truthy(evaluate(*condition, frame))) return execute(body, frame);
  }
  return Flow::kNext;
}

bool Interpreter::passes(const Statement& statement, const Value& item, Frame& frame) {
  Frame scope;
  scope.parent = &frame;
  assign(*statement.target, item, scope);
  return truthy(evaluate(*statement.condition, scope));
}

void Interpreter::execute_for(const Statement& statement, const Value& items, Frame& frame, int depth) {
  Loop* loop = runtime_.make<Loop>();
  loop->source = iterate(runtime_, items);
  loop->depth = depth;
  if (statement.condition) {
    loop->filter = [&](const Value& item) { return passes(statement, item, frame); };
  } else if (auto length = length_of(items)) {
    loop->known_length = *length;
    loop->has_length = true;
  }
  if (statement.recursive) {
    loop->recurse = [&](const Value& inner) { return run_recursive(statement, inner, frame, depth + 1); };
  }
  Frame* scope = new_frame(&frame);
  bool any = false;  // a turn ran to its end: one left by break or continue does not keep the else from running
  while (auto item = loop->advance(runtime_)) {
    if (scope->captured) scope = new_frame(&frame);
    scope->variables.clear();
    scope->set(tree_.known.loop, Value(static_cast<Callable*>(loop)));
    assign(*statement.target, std::move(*item), *scope);
    const Flow flow = execute(statement.body, *scope);
    if (flow == Flow::kBreak) break;
    any = any || flow == Flow::kNext;
  }
  loop->filter = nullptr;  // they refer to this call's variables
  loop->recurse = nullptr;
  if (!any && !statement.otherwise.empty()) execute(statement.otherwise, *new_frame(&frame));
}

Value Interpreter::run_recursive(const Statement& statement, const Value& items, Frame& frame, int depth) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  Runtime::Deeper deeper(runtime_);
  try {
    execute_for(statement, items, frame, depth);
  } catch (...) {
    out_ = outer;
    throw;
  }
  out_ = outer;
  return runtime_.text(std::move(text));
}

Value Interpreter::capture(const Block& block, Frame& frame, Flow& flow) {
  std::string text;
  std::string* const outer = std::exchange(out_, &text);
  try {
    flow = execute(block, frame);
  } catch (...) {
    out_ = outer;
    throw;
  }
  out_ = outer;
  return runtime_.text(std::move(text));
}

void Interpreter::execute_with(const Statement& statement, Frame& frame, Flow& flow) {
  Frame* scope = new_frame(&frame);
  for (const auto& [target, value] : statement.assignments) assign(*target, evaluate(*value, frame), *scope);
  flow = execute(statement.body, *scope);
}

Value Interpreter::define_macro(const MacroNode& node, Frame& frame) {
  for (Frame* f = &frame; f != nullptr; f = f->parent) f->captured = true;
  Macro* macro = runtime_.make<Macro>();
  macro->interpreter = this;
  macro->node = &node;
  macro->definition = &frame;
  return Value(static_cast<Callable*>(macro));
}

void Interpreter::execute_call_block(const Statement& statement, Frame& frame) {
  const Value caller = define_macro(*statement.macro, frame);
  const Value result = evaluate_call(*statement.expr, frame, &caller);
  const size_t before = out_->size();
  append_string(runtime_, *out_, result);
  runtime_.charge_output(out_->size() - before);
}

Value Interpreter::call_macro(const MacroNode& macro, Frame* definition, const Arguments& arguments) {
  const Extras extras = collect_extras(runtime_, macro, arguments);
  Frame* frame = new_frame(definition);
  const size_t without_default = macro.parameters.size() - macro.defaults.size();
  for (size_t i = 0; i < macro.parameters.size(); ++i) {
    const auto& [name, symbol] = macro.parameters[i];
    const Value* named = arguments.find(name);
    if (i < arguments.positional.size()) {
      if (named != nullptr) fail("macro '{}' got multiple values for argument '{}'", macro.name, name);
      frame->set(symbol, arguments.positional[i]);
    } else if (named != nullptr) {
      frame->set(symbol, *named);
    } else if (i >= without_default) {
      frame->set(symbol, evaluate(*macro.defaults[i - without_default], *frame));
    } else {
      frame->set(symbol, runtime_.undefined("parameter '" + name + "' was not provided"));
    }
  }
  if (macro.uses_caller && !is_parameter(macro, "caller")) {
    frame->set(tree_.known.caller, extras.caller ? *extras.caller : runtime_.undefined("No caller defined"));
  }
  if (macro.uses_kwargs) frame->set(tree_.known.kwargs, runtime_.dict(extras.named));
  if (macro.uses_varargs) frame->set(tree_.known.varargs, runtime_.tuple(extras.positional));
  const int line = line_;
  Flow flow = Flow::kNext;
  Value text = capture(macro.body, *frame, flow);
  line_ = line;
  return text;
}

void Interpreter::assign(const Expr& target, Value value, Frame& frame) {
  if (target.kind == ExprKind::kName) {
    frame.set(target.symbol, std::move(value));
    return;
  }
  if (target.kind == ExprKind::kNamespaceTarget) {
    const Value* holder = frame.find(target.symbol);
    const auto* ns = holder ? holder->as<Namespace*>() : nullptr;
    if (ns == nullptr) fail("cannot assign attribute on non-namespace object");
    runtime_.charge_object((*ns)->find(target.text) == nullptr ? sizeof(Value) + target.text.size() : 0);
    (*ns)->set(target.text, std::move(value));
    return;
  }
  const std::vector<Value> items = to_vector(runtime_, value);
  if (items.size() < target.children.size()) {
    fail("not enough values to unpack (expected {}, got {})", target.children.size(), items.size());
  }
  if (items.size() > target.children.size()) {
    fail("too many values to unpack (expected {})", target.children.size());
  }
  for (size_t i = 0; i < items.size(); ++i) assign(*target.children[i], items[i], frame);
}

}  // namespace hadal::jinja
