"""What must never be published or printed: access tokens, private keys, and characters that drive a terminal.

>>> from hala.verbs.redact import plain, redact
>>> redact("key hf_" + "a" * 34), plain("a\\x1b[31mb")
('key [secret removed]', 'a[31mb')
"""

from __future__ import annotations

import re
import unicodedata

# Prefixes of the issuers' own formats; each alternative demands enough random characters to leave ordinary words alone.
SECRET = re.compile(
    r"(?<![A-Za-z0-9])(?:"
    r"(?:hf|api_org)_[A-Za-z0-9]{16,}"  # Hugging Face
    r"|sk-[A-Za-z0-9_-]{16,}"  # OpenAI, Anthropic, OpenRouter, DeepSeek
    r"|(?:sk|rk)_(?:live|test)_[A-Za-z0-9]{16,}"  # Stripe
    r"|(?:AKIA|ASIA)[0-9A-Z]{16}"  # AWS
    r"|(?:ghp|gho|ghu|ghs|ghr)_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{22,}"
    r"|(?:glpat|glrt|gldt)-[A-Za-z0-9_-]{16,}"
    r"|AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{20,}"  # Google
    r"|xox[abeoprs]-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{20,}"  # Slack
    r"|nvapi-[A-Za-z0-9_-]{20,}|gsk_[A-Za-z0-9]{20,}|xai-[A-Za-z0-9]{20,}|pplx-[A-Za-z0-9]{20,}|r8_[A-Za-z0-9]{20,}"
    r"|tgp_v1_[A-Za-z0-9_-]{20,}|fw_[A-Za-z0-9]{22,}|co_[A-Za-z0-9]{36,}|jina_[A-Za-z0-9]{20,}|voyage-[A-Za-z0-9_]{24,}"
    r"|pypi-[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{20,}|dop_v1_[0-9a-f]{40,}|dckr_pat_[A-Za-z0-9_-]{20,}"
    r"|SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|wandb_v1_[A-Za-z0-9_-]{20,}|lsv2_(?:pt|sk)_[A-Za-z0-9_]{20,}"
    r"|eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"  # JSON web token
    r"|-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"
    r")|(?<=://)[^\s/:@]+:[^\s/@]+(?=@)"  # user:password in an address
    r"|(?i:(?<=bearer ))[A-Za-z0-9_.~+/-]{20,}"
)
# Visible signs that Unicode files under "format": Arabic number and verse signs.
VISIBLE_FORMAT = frozenset([*range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2])
FILLERS = frozenset([0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0, *range(0xE0100, 0xE01F0)])


def find_secret(text: str) -> str:
    """The first five characters of something that looks like an access token or a private key, or an empty string."""
    match = SECRET.search(text)
    return match[0][:5] if match else ""


def redact(text: str) -> str:
    """`text` with everything that looks like a secret taken out, visibly."""
    return SECRET.sub("[secret removed]", text)


def invisible(character: str) -> bool:
    """Whether the character is a control, reorders its surroundings, or shows nothing; newline and tab are ordinary."""
    number = ord(character)
    if character in "\n\t" or number in VISIBLE_FORMAT:
        return False
    return number in FILLERS or unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")


def plain(text: str) -> str:
    """`text` for a terminal: no secrets, no control, reordering or invisible characters; newlines and tabs stay."""
    return "".join(character for character in redact(text) if not invisible(character))
