#include "text/jinja/parser_state.h"

#include <algorithm>

#include "text/jinja/failure.h"

namespace hadal::jinja {

bool Parser::skip_operator(std::string_view op) {
  if (!at_operator(op)) return false;
  advance();
  return true;
}
bool Parser::skip_name(std::string_view name) {
  if (!at_name(name)) return false;
  advance();
  return true;
}
void Parser::unexpected(std::string_view wanted) const {
  fail_syntax(current().line, "expected {}, got '{}'", wanted, describe(current()));
}
void Parser::expect_operator(std::string_view op) {
  if (!skip_operator(op)) unexpected("'" + std::string(op) + "'");
}
void Parser::expect_name(std::string_view name) {
  if (!skip_name(name)) unexpected("'" + std::string(name) + "'");
}
void Parser::expect(TokenKind kind, std::string_view what) {
  if (!at(kind)) unexpected(what);
  advance();
}
std::string Parser::take_name() {
  if (!at(TokenKind::kName)) unexpected("a name");
  std::string name = current().text;
  advance();
  return name;
}

void Parser::enter() {
  if (++nesting_ > kMaxSyntaxDepth) fail_syntax(current().line, "the template nests deeper than {} levels", kMaxSyntaxDepth);
}

ExprPtr Parser::make(ExprKind kind, int line) const {
  auto node = std::make_unique<Expr>();
  node->kind = kind;
  node->line = line;
  return node;
}

void Parser::adopt(Expr& parent, ExprPtr child) const {
  if (child) {
    parent.depth = std::max(parent.depth, child->depth + 1);
    if (parent.depth > kMaxSyntaxDepth) fail_syntax(parent.line, "an expression nests deeper than {} levels", kMaxSyntaxDepth);
  }
  parent.children.push_back(std::move(child));
}

ExprPtr Parser::join(ExprKind kind, int line, ExprPtr left, ExprPtr right) const {
  ExprPtr node = make(kind, line);
  adopt(*node, std::move(left));
  adopt(*node, std::move(right));
  return node;
}

Symbol Parser::symbol(const std::string& name) {
  auto [entry, added] = symbols_.emplace(name, static_cast<Symbol>(names_.size()));
  if (added) names_.push_back(name);
  return entry->second;
}

void Parser::note_use(const std::string& name) {
  for (auto& names : uses_) names.insert(name);
}

void Parser::note_unknown(std::string_view what, std::string_view name) {
  if (branches_ == 0) unknown_.push_back({current().line, fmt::format("No {} named '{}'.", what, name)});
}

}  // namespace hadal::jinja
