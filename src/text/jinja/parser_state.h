// The parser's inside: token stream, nesting guard, name table. Included by the parser's two .cc files only.
#pragma once

#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace hadal::jinja {

/// Nesting of the tree and of the parser itself. Published templates stay below 40; a render walks the tree with
/// a bounded stack.
inline constexpr int kMaxSyntaxDepth = 150;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}
  SyntaxTree run();

 private:
  // --- stream
  const Token& current() const { return tokens_[next_]; }
  const Token& look() const { return tokens_[next_ + 1 < tokens_.size() ? next_ + 1 : next_]; }
  void advance() {
    if (next_ + 1 < tokens_.size()) ++next_;
  }
  bool at(TokenKind kind) const { return current().kind == kind; }
  bool at_operator(std::string_view op) const { return at(TokenKind::kOperator) && current().text == op; }
  bool at_name(std::string_view name) const { return at(TokenKind::kName) && current().text == name; }
  bool skip_operator(std::string_view op);
  bool skip_name(std::string_view name);
  void expect_operator(std::string_view op);
  void expect_name(std::string_view name);
  void expect(TokenKind kind, std::string_view what);
  std::string take_name();
  [[noreturn]] void unexpected(std::string_view wanted) const;

  // --- nodes
  struct Nested;  // counts the parser's own recursion
  void enter();
  ExprPtr make(ExprKind kind, int line) const;
  /// Adds a child and bounds the depth of the tree.
  void adopt(Expr& parent, ExprPtr child) const;
  ExprPtr join(ExprKind kind, int line, ExprPtr left, ExprPtr right) const;
  Symbol symbol(const std::string& name);
  void note_use(const std::string& name);
  /// An unknown filter or test: an error of the whole template, but under an `if` only of its running.
  void note_unknown(std::string_view what, std::string_view name);

  // --- expressions (parser_expression.cc), one function per level of precedence
  enum class Condexpr { kAllowed, kNot };
  ExprPtr parse_expression(Condexpr condexpr = Condexpr::kAllowed);
  ExprPtr parse_condition();
  ExprPtr parse_or();
  ExprPtr parse_and();
  ExprPtr parse_not();
  ExprPtr parse_compare();
  ExprPtr parse_sum();
  ExprPtr parse_concat();
  ExprPtr parse_product();
  ExprPtr parse_power();
  enum class Filters { kAllowed, kNot };
  ExprPtr parse_unary(Filters filters = Filters::kAllowed);
  enum class NamespaceTarget { kAllowed, kNot };
  ExprPtr parse_primary(NamespaceTarget namespace_target = NamespaceTarget::kNot);
  ExprPtr parse_name(NamespaceTarget namespace_target);
  ExprPtr parse_list();
  ExprPtr parse_dict();
  ExprPtr parse_postfix(ExprPtr node);
  ExprPtr parse_filters_and_tests(ExprPtr node);
  ExprPtr parse_subscript(ExprPtr node);
  ExprPtr parse_subscribed();
  ExprPtr parse_call(ExprPtr node);
  ExprPtr parse_filter(ExprPtr node);
  ExprPtr parse_test(ExprPtr node);
  std::unique_ptr<CallArguments> parse_arguments(int& depth);
  struct TupleRules {
    bool simplified = false;
    Condexpr condexpr = Condexpr::kAllowed;
    std::string_view end_name;  // a name that ends the tuple
    bool parenthesized = false;
    NamespaceTarget namespace_target = NamespaceTarget::kNot;
  };
  ExprPtr parse_tuple(const TupleRules& rules);
  bool at_tuple_end(std::string_view end_name) const;
  ExprPtr parse_target(std::string_view end_name, NamespaceTarget namespace_target);
  void declare_target(const Expr& target) const;

  // --- statements (parser_statement.cc)
  using StatementPtr = std::unique_ptr<Statement>;
  Block parse_block(std::initializer_list<std::string_view> end_names);
  void parse_data(Block& block);
  void parse_print(Block& block);
  void parse_statement(Block& block);
  StatementPtr make_statement(StatementKind kind) const;
  Block parse_body(std::initializer_list<std::string_view> end_names);
  StatementPtr parse_if();
  StatementPtr parse_for();
  StatementPtr parse_set();
  StatementPtr parse_macro();
  StatementPtr parse_call_block();
  StatementPtr parse_filter_block();
  StatementPtr parse_with();
  StatementPtr parse_generation();
  StatementPtr parse_loop_control(StatementKind kind);
  void parse_print_statement(Block& block);
  void parse_signature(MacroNode& macro);
  void parse_macro_body(MacroNode& macro, std::string_view end_name);

  std::vector<Token> tokens_;
  size_t next_ = 0;
  int nesting_ = 0;
  int loops_ = 0;     // open for bodies, of this macro
  int branches_ = 0;  // open if bodies and inline ifs: unknown filters in them fail when they run
  std::vector<std::pair<int, std::string>> unknown_;  // line, message
  std::vector<std::set<std::string>> uses_;  // names used in the open macros
  std::unordered_map<std::string, Symbol> symbols_;
  std::vector<std::string> names_;
};

struct Parser::Nested {
  explicit Nested(Parser& parser) : parser_(parser) { parser.enter(); }
  ~Nested() { --parser_.nesting_; }
  Parser& parser_;
};

}  // namespace hadal::jinja
