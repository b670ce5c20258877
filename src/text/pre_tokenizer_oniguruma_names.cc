#include "text/pre_tokenizer_oniguruma_names.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <cctype>

namespace hadal::tok {
namespace {

struct Named {
  std::string_view name, value;
};

// clang-format off
// Oniguruma's names (lower case, no spaces, '-' or '_') for what PCRE2 calls otherwise.
constexpr Named kProperties[] = {
    {"letter", "L"}, {"lowercaseletter", "Ll"}, {"uppercaseletter", "Lu"}, {"titlecaseletter", "Lt"},
    {"casedletter", "L&"}, {"modifierletter", "Lm"}, {"otherletter", "Lo"}, {"mark", "M"},
    {"combiningmark", "M"}, {"nonspacingmark", "Mn"}, {"spacingmark", "Mc"}, {"enclosingmark", "Me"},
    {"number", "N"}, {"decimalnumber", "Nd"}, {"letternumber", "Nl"}, {"othernumber", "No"},
    {"punctuation", "P"}, {"connectorpunctuation", "Pc"}, {"dashpunctuation", "Pd"},
    {"openpunctuation", "Ps"}, {"closepunctuation", "Pe"}, {"initialpunctuation", "Pi"},
    {"finalpunctuation", "Pf"}, {"otherpunctuation", "Po"}, {"symbol", "S"}, {"mathsymbol", "Sm"},
    {"currencysymbol", "Sc"}, {"modifiersymbol", "Sk"}, {"othersymbol", "So"}, {"separator", "Z"},
    {"spaceseparator", "Zs"}, {"lineseparator", "Zl"}, {"paragraphseparator", "Zp"}, {"other", "C"},
    {"control", "Cc"}, {"format", "Cf"}, {"surrogate", "Cs"}, {"privateuse", "Co"}, {"unassigned", "Cn"},
    {"alpha", "Alphabetic"}, {"space", "White_Space"}, {"digit", "Nd"}, {"upper", "Uppercase"},
    {"lower", "Lowercase"}, {"punct", "P"},
};

constexpr Named kPosix[] = {
    {"alpha", R"(\p{Alphabetic})"}, {"alnum", R"(\p{Alphabetic}\p{Nd})"}, {"word", kWord}, {"space", kSpace},
    {"upper", R"(\p{Uppercase})"}, {"lower", R"(\p{Lowercase})"}, {"digit", R"(\p{Nd})"}, {"xdigit", kHex},
    {"punct", R"(\p{P}\p{S})"}, {"cntrl", R"(\p{Cc})"}, {"blank", R"(\p{Zs}\t)"}, {"ascii", R"(\x{0}-\x{7f})"},
    {"graph", R"(\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co})"},
    {"print", R"(\p{L}\p{M}\p{N}\p{P}\p{S}\p{Cf}\p{Co}\p{Zs})"},
};
// clang-format on

std::string plain_name(std::string_view name) {
  std::string plain;
  for (const char c : name) {
    if (c != ' ' && c != '_' && c != '-')
      plain.push_back(static_cast<char>(std::tolower(static_cast<unsigned char>(c))));
  }
  return plain;
}

bool is_script(std::string_view name) {
  const std::string pattern = "\\p{sc:" + std::string(name) + "}";
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code_8* code = pcre2_compile_8(reinterpret_cast<PCRE2_SPTR8>(pattern.data()), pattern.size(),
                                       PCRE2_UTF, &error, &offset, nullptr);
  pcre2_code_free_8(code);
  return code != nullptr;
}

}  // namespace

StatusOr<std::string> property_name(std::string_view name) {
  const std::string plain = plain_name(name);
  for (const std::string_view several : {"alnum", "word", "graph", "print", "blank", "cntrl", "xdigit"}) {
    if (plain == several) return unimplemented("property '{}' is not supported", name);
  }
  for (const Named& entry : kProperties) {
    if (entry.name == plain) return std::string(entry.value);
  }
  // PCRE2 takes a bare script's name for its extensions, Oniguruma for the script itself.
  return (plain.size() > 2 && is_script(name) ? "sc:" : "") + std::string(name);
}

StatusOr<std::string_view> posix_set(std::string_view name) {
  for (const Named& entry : kPosix) {
    if (entry.name == name) return entry.value;
  }
  return unimplemented("set [:{}:] is not supported", name);
}

}  // namespace hadal::tok
