// Characters newer than our libraries' Unicode tables.
//
// Hugging Face's regular expressions know Unicode 16.0; Debian 12's PCRE2 and utf8proc know 14.0, where some
// 10,000 letters, digits and signs are still unassigned and would be cut out as such. Before a text is
// matched, each such character is replaced by an older one of the same general category (Han for Han) and the
// same length in UTF-8, so that the offsets of matches hold for the text itself.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hadal::tok {

/// An older character of the same category; `codepoint` itself where it is not newer.
uint32_t unicode_stand_in(uint32_t codepoint);

/// Replaces newer characters of `text` (valid UTF-8) into `changed`; false when there is none (the usual
/// case).
bool replace_newer_characters(std::string_view text, std::string& changed);

}  // namespace hadal::tok
