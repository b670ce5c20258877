#include "text/jinja/failure.h"
#include "text/jinja/parser.h"
#include "text/jinja/parser_state.h"

namespace hadal::jinja {

SyntaxTree parse_template(std::string_view source) { return Parser(tokenize(source)).run(); }

SyntaxTree Parser::run() {
  SyntaxTree tree;
  tree.known = {symbol("loop"), symbol("caller"), symbol("varargs"), symbol("kwargs")};
  tree.body = parse_block({});
  if (!unknown_.empty()) fail_syntax(unknown_[0].first, "{}", unknown_[0].second);
  tree.names = std::move(names_);
  return tree;
}

Parser::StatementPtr Parser::make_statement(StatementKind kind) const {
  auto statement = std::make_unique<Statement>();
  statement->kind = kind;
  statement->line = current().line;
  return statement;
}

/// Statements up to a tag whose name is one of `end_names`; that name is the current token then. At the top
/// (no end names) up to the end of the template.
Block Parser::parse_block(std::initializer_list<std::string_view> end_names) {
  Nested nested(*this);
  Block block;
  while (!at(TokenKind::kEnd)) {
    if (at(TokenKind::kData)) {
      parse_data(block);
    } else if (at(TokenKind::kVariableBegin)) {
      parse_print(block);
    } else {
      expect(TokenKind::kBlockBegin, "a statement");
      for (std::string_view name : end_names) {
        if (at_name(name)) return block;
      }
      parse_statement(block);
      expect(TokenKind::kBlockEnd, "end of statement block");
    }
  }
  if (end_names.size() != 0) {
    std::string wanted;
    for (std::string_view name : end_names) wanted += (wanted.empty() ? "'" : " or '") + std::string(name) + "'";
    fail_syntax(current().line, "unexpected end of template, looking for {}", wanted);
  }
  return block;
}

/// The rest of an opening tag, and the block behind it.
Block Parser::parse_body(std::initializer_list<std::string_view> end_names) {
  skip_operator(":");
  expect(TokenKind::kBlockEnd, "end of statement block");
  return parse_block(end_names);
}

void Parser::parse_data(Block& block) {
  auto statement = make_statement(StatementKind::kOutput);
  statement->text = current().text;
  advance();
  block.push_back(std::move(statement));
}

void Parser::parse_print(Block& block) {
  auto statement = make_statement(StatementKind::kOutput);
  advance();
  statement->expr = parse_tuple({});
  expect(TokenKind::kVariableEnd, "end of print statement");
  block.push_back(std::move(statement));
}

void Parser::parse_statement(Block& block) {
  if (!at(TokenKind::kName)) fail_syntax(current().line, "tag name expected");
  struct Tag {
    std::string_view name;
    StatementPtr (Parser::*parse)();
  };
  static const Tag kTags[] = {
      {"if", &Parser::parse_if},           {"for", &Parser::parse_for},
      {"set", &Parser::parse_set},         {"macro", &Parser::parse_macro},
      {"call", &Parser::parse_call_block}, {"filter", &Parser::parse_filter_block},
      {"with", &Parser::parse_with},       {"generation", &Parser::parse_generation},
  };
  for (const Tag& tag : kTags) {
    if (!at_name(tag.name)) continue;
    block.push_back((this->*tag.parse)());
    return;
  }
  if (at_name("break")) {
    block.push_back(parse_loop_control(StatementKind::kBreak));
  } else if (at_name("continue")) {
    block.push_back(parse_loop_control(StatementKind::kContinue));
  } else if (at_name("print")) {
    parse_print_statement(block);
  } else {
    fail_syntax(current().line, "unknown tag '{}'", current().text);
  }
}

Parser::StatementPtr Parser::parse_if() {
  auto statement = make_statement(StatementKind::kIf);
  advance();
  ++branches_;
  while (true) {
    ExprPtr condition = parse_tuple({.condexpr = Condexpr::kNot});
    Block body = parse_body({"elif", "else", "endif"});
    statement->branches.emplace_back(std::move(condition), std::move(body));
    if (skip_name("elif")) continue;
    if (skip_name("else")) statement->branches.emplace_back(nullptr, parse_body({"endif"}));
    expect_name("endif");
    break;
  }
  --branches_;
  return statement;
}

Parser::StatementPtr Parser::parse_for() {
  auto statement = make_statement(StatementKind::kFor);
  advance();
  statement->target = parse_target("in", NamespaceTarget::kNot);
  expect_name("in");
  statement->expr = parse_tuple({.condexpr = Condexpr::kNot, .end_name = "recursive"});
  if (skip_name("if")) statement->condition = parse_expression();
  statement->recursive = skip_name("recursive");
  const int branches = std::exchange(branches_, 0);
  ++loops_;
  statement->body = parse_body({"endfor", "else"});
  --loops_;
  if (skip_name("else")) statement->otherwise = parse_body({"endfor"});
  branches_ = branches;
  expect_name("endfor");
  return statement;
}

Parser::StatementPtr Parser::parse_set() {
  auto statement = make_statement(StatementKind::kSet);
  advance();
  statement->target = parse_target({}, NamespaceTarget::kAllowed);
  if (skip_operator("=")) {
    statement->expr = parse_tuple({});
    return statement;
  }
  statement->kind = StatementKind::kSetBlock;
  while (skip_operator("|")) statement->expr = parse_filter(std::move(statement->expr));
  statement->body = parse_body({"endset"});
  expect_name("endset");
  return statement;
}

void Parser::parse_signature(MacroNode& macro) {
  expect_operator("(");
  while (!at_operator(")")) {
    if (!macro.parameters.empty()) expect_operator(",");
    const std::string name = take_name();
    macro.parameters.emplace_back(name, symbol(name));
    if (skip_operator("=")) {
      macro.defaults.push_back(parse_expression());
    } else if (!macro.defaults.empty()) {
      fail_syntax(current().line, "non-default argument follows default argument");
    }
  }
  expect_operator(")");
}

void Parser::parse_macro_body(MacroNode& macro, std::string_view end_name) {
  const int loops = std::exchange(loops_, 0);
  const int branches = std::exchange(branches_, 0);
  uses_.emplace_back();
  macro.body = parse_body({end_name});
  expect_name(end_name);
  macro.uses_caller = uses_.back().count("caller") != 0;
  macro.uses_varargs = uses_.back().count("varargs") != 0;
  macro.uses_kwargs = uses_.back().count("kwargs") != 0;
  uses_.pop_back();
  loops_ = loops;
  branches_ = branches;
}

Parser::StatementPtr Parser::parse_macro() {
  auto statement = make_statement(StatementKind::kMacro);
  advance();
  statement->macro = std::make_unique<MacroNode>();
  statement->macro->name = take_name();
  statement->macro->symbol = symbol(statement->macro->name);
  parse_signature(*statement->macro);
  parse_macro_body(*statement->macro, "endmacro");
  return statement;
}

Parser::StatementPtr Parser::parse_call_block() {
  auto statement = make_statement(StatementKind::kCallBlock);
  advance();
  statement->macro = std::make_unique<MacroNode>();
  statement->macro->name = "caller";
  if (at_operator("(")) parse_signature(*statement->macro);
  statement->expr = parse_expression();
  if (statement->expr->kind != ExprKind::kCall) fail_syntax(statement->line, "expected call");
  parse_macro_body(*statement->macro, "endcall");
  return statement;
}

Parser::StatementPtr Parser::parse_filter_block() {
  auto statement = make_statement(StatementKind::kFilterBlock);
  advance();
  do statement->expr = parse_filter(std::move(statement->expr));
  while (skip_operator("|"));
  statement->body = parse_body({"endfilter"});
  expect_name("endfilter");
  return statement;
}

Parser::StatementPtr Parser::parse_with() {
  auto statement = make_statement(StatementKind::kWith);
  advance();
  while (!at(TokenKind::kBlockEnd)) {
    if (!statement->assignments.empty()) expect_operator(",");
    ExprPtr target = parse_target({}, NamespaceTarget::kNot);
    expect_operator("=");
    statement->assignments.emplace_back(std::move(target), parse_expression());
  }
  statement->body = parse_body({"endwith"});
  expect_name("endwith");
  return statement;
}

/// Marks the assistant's own text for training; for rendering it is its body.
Parser::StatementPtr Parser::parse_generation() {
  auto statement = make_statement(StatementKind::kScope);
  advance();
  statement->body = parse_body({"endgeneration"});
  expect_name("endgeneration");
  return statement;
}

Parser::StatementPtr Parser::parse_loop_control(StatementKind kind) {
  auto statement = make_statement(kind);
  if (loops_ == 0) fail_syntax(statement->line, "'{}' outside loop", current().text);
  advance();
  return statement;
}

void Parser::parse_print_statement(Block& block) {
  advance();
  bool first = true;
  while (!at(TokenKind::kBlockEnd)) {
    if (!first) expect_operator(",");
    first = false;
    auto statement = make_statement(StatementKind::kOutput);
    statement->expr = parse_expression();
    block.push_back(std::move(statement));
  }
}

}  // namespace hadal::jinja
