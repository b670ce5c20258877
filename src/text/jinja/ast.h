// The syntax tree of a template. Built once by the parser, then only read: any number of renders may share it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "text/jinja/value.h"

namespace hadal::jinja {

/// A variable's name as a small number; Template::names maps it back.
using Symbol = int;

enum class ExprKind {
  kConstant,    // constant
  kName,        // symbol
  kList,        // children
  kTuple,       // children
  kDict,        // children: key, value, key, value, ...
  kAttribute,   // children[0] . text
  kSubscript,   // children[0] [ children[1] ]
  kSlice,       // children[0..2], each may be null; only as a subscript
  kCall,        // children[0] ( call )
  kFilter,      // children[0] (null inside a filter block) | text ( call )
  kTest,        // children[0] is text ( call )
  kNot,
  kNegative,
  kPositive,
  kAnd,
  kOr,
  kCondition,   // children: condition, value if true, value if not (may be null)
  kCompare,     // children[0], then per operator in `operators` one more child
  kConcat,      // children joined by ~
  kAdd,
  kSubtract,
  kMultiply,
  kDivide,
  kFloorDivide,
  kModulo,
  kPower,
  kNamespaceTarget,  // symbol . text, only as a target of set
};

enum class CompareOp { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual, kIn, kNotIn };

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct CallArguments {
  std::vector<ExprPtr> positional;
  std::vector<std::pair<std::string, ExprPtr>> named;
  ExprPtr star;         // *args
  ExprPtr double_star;  // **kwargs
};

struct Expr {
  ExprKind kind;
  int line = 0;
  int depth = 1;  // of the tree below; bounded by the parser, for evaluation and destruction recurse
  Value constant;
  Symbol symbol = -1;
  std::string text;
  std::vector<ExprPtr> children;
  std::vector<CompareOp> operators;
  std::unique_ptr<CallArguments> call;
};

enum class StatementKind {
  kOutput,       // text if expr is null, else what expr gives
  kIf,           // branches; a branch without condition is the else
  kFor,
  kSet,          // target = expr
  kSetBlock,     // target = body, through the filters in expr (may be null)
  kMacro,
  kCallBlock,    // expr is the call; macro the block's own
  kFilterBlock,  // expr is the filter chain
  kWith,         // targets, values, body
  kScope,        // body alone (generation blocks)
  kBreak,
  kContinue,
};

struct Statement;
using Block = std::vector<std::unique_ptr<Statement>>;

struct MacroNode {
  std::string name;
  Symbol symbol = -1;
  std::vector<std::pair<std::string, Symbol>> parameters;
  std::vector<ExprPtr> defaults;  // of the last parameters
  Block body;
  bool uses_caller = false;       // the body names these, and so accepts them
  bool uses_varargs = false;
  bool uses_kwargs = false;
};

struct Statement {
  StatementKind kind;
  int line = 0;
  std::string text;
  ExprPtr expr;
  ExprPtr target;
  ExprPtr condition;  // of a for's `if`
  bool recursive = false;
  std::vector<std::pair<ExprPtr, Block>> branches;
  std::vector<std::pair<ExprPtr, ExprPtr>> assignments;  // of a with
  Block body;
  Block otherwise;  // a for's else
  std::unique_ptr<MacroNode> macro;
};

/// Names that the interpreter itself looks up.
struct KnownSymbols {
  Symbol loop, caller, varargs, kwargs;
};

struct SyntaxTree {
  Block body;
  std::vector<std::string> names;  // by symbol
  KnownSymbols known{};
};

}  // namespace hadal::jinja
