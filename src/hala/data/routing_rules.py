"""The rules by which tasks that do not survive translation are known, as data: one table for each source language.

A rule looks at one turn at a time. It may fire when one of its `stems` stands in the turn; it fires when its `pattern` matches and
its `unless` does not match in the same sentence. The first rule of a table that fires decides the turn. Every rule carries an
example that fires and one that must not, and the tests run them.

>>> from hala.data.routing_rules import RULES
>>> [rule.why for rule in RULES["en"].rules if rule.name == "rhyme"]
['rhymes are between the words of one language']
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Action = Literal["translate", "keep", "adapt", "drop"]


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of task: how it is known, what becomes of it, and why.

    An adapted row keeps what the finders named in `keeps` find (`routing_keeps`); where the first finds nothing, the action is
    `otherwise`. `certain=False` marks a weak rule, whose rows a vote may look at. `spares_code` keeps it from rows about programs.
    `fires` and `spares` are (instruction, answer).
    """

    name: str
    action: Action
    why: str
    stems: tuple[str, ...]
    pattern: re.Pattern[str]
    fires: tuple[str, str]
    spares: tuple[str, str]
    unless: re.Pattern[str] | None = None
    keeps: tuple[str, ...] = ()
    otherwise: Action = "translate"
    certain: bool = True
    spares_code: bool = False
    role: Literal["user", "any"] = "user"


@dataclass(frozen=True, slots=True)
class RuleTable:
    """The rules of one source language, in the order in which they are tried, and how to find those that may fire."""

    rules: tuple[Rule, ...]
    trigger: re.Pattern[str]
    """Finds the stems at the beginnings of words of a lower-cased text, the longest at each; most rows have none."""
    numbers: dict[str, frozenset[int]]
    """The places in `rules` that a found stem may fire."""

    @staticmethod
    def of(*rules: Rule) -> RuleTable:
        """A table with its trigger."""
        wanted = {stem for rule in rules for stem in rule.stems}
        numbers = {
            found: frozenset(n for n, rule in enumerate(rules) if any(found.startswith(stem) for stem in rule.stems))
            for found in wanted
        }
        # Looks ahead, so that stems may overlap.
        return RuleTable(rules, re.compile(rf"\b(?=({_prefixes(wanted)}))"), numbers)

    def may_fire(self, text: str) -> list[Rule]:
        """The rules with a stem in the text, in the order of the table."""
        found = set(self.trigger.findall(text.lower()))
        return [self.rules[n] for n in sorted(frozenset().union(*map(self.numbers.__getitem__, found)))] if found else []


def _prefixes(words: Iterable[str]) -> str:
    """A pattern for the longest of the words, in which common beginnings stand once: alternatives would be tried one by one."""
    branches: dict[str, set[str]] = {}
    for word in words:
        if word:
            branches.setdefault(word[0], set()).add(word[1:])
    if not branches:
        return ""
    pattern = "|".join(re.escape(first) + _prefixes(rest) for first, rest in sorted(branches.items()))
    return f"(?:{pattern})" + ("?" if "" in words else "")


def _stems(words: str) -> tuple[str, ...]:
    return tuple(words.split("|"))


def _re(*alternatives: str) -> re.Pattern[str]:
    """Any of the alternatives, in any case. `S` stands for up to 60 characters of one sentence, `Q` for a quotation mark, `L`
    for the name of a language and `QQ` for a quoted text."""
    text = "|".join(alternatives)
    for name, meaning in _SHORT.items():
        text = text.replace(f"<{name}>", meaning)
    return re.compile(text, re.IGNORECASE)


_LANGUAGES = (
    "afrikaans|albanian|amharic|arabic|armenian|bengali|bulgarian|cantonese|catalan|chinese|croatian|czech|danish|dutch|english"
    "|estonian|farsi|filipino|finnish|flemish|french|gaelic|georgian|german|greek|gujarati|hausa|hebrew|hindi|hungarian|icelandic"
    "|igbo|indonesian|irish|italian|japanese|kannada|khmer|korean|kurdish|latin|latvian|lithuanian|malay|mandarin|marathi|mongolian"
    "|nepali|norwegian|pashto|persian|polish|portuguese|punjabi|romanian|russian|serbian|sinhala|slovak|slovenian|somali|spanish"
    "|swahili|swedish|tagalog|tamil|telugu|thai|turkish|ukrainian|urdu|uzbek|vietnamese|welsh|xhosa|yoruba|zulu"
)
_NAMES = _stems(_LANGUAGES)
_SHORT = {
    "S": r"[^.?!\n]{0,60}",
    "s": r"[^.?!\n]{0,25}",
    "Q": r"[\"“‘'«`]",
    "QQ": r"(?:\"[^\"\n]{1,200}\"|“[^”\n]{1,200}”|«[^»\n]{1,200}»|`[^`\n]{1,200}`|['‘](?!\s)[^\n]{1,200}?['’](?!\w))",
    "L": rf"\b(?<!pig )(?:(?:simplified|traditional|brazilian|modern|ancient|standard|mexican|old|middle) )?{_prefixes(_NAMES)}\b",
    "TEXT": r"(?:sentences?|texts?|paragraphs?|passages?|phrases?|e-?mails?|message|letter|essay|statements?|title|words?|below|following)",
    "ABOUT": r"(?:^\W*who\b|\b(?:what (?:is|are|was|were|makes?|role)\b|history\b|explain (?:what|why|how)\b|defin(?:e|ition)\b|rules\b"
    r"|difference between\b|why (?:do|does|did|is|are)\b|how (?:do|does|did|is)\b|invented\b|origins?\b|famous\b|in what year\b))",
}

# Of each group of words that grammar names, as it is asked for in a sentence.
_GRAMMAR = (
    r"(?:(?:proper|common|main|action|helping|abstract|modal|relative|possessive|prepositional|dependent|independent|direct|indirect) )*"
    r"(?:nouns?|verbs?|adjectives?|adverbs?|pronouns?|prepositions?|conjunctions?|interjections?|predicates?|participles?|modifiers?"
    r"|clauses?|objects?|subjects?|antecedents?|phrases?|tense|parts? of speech|articles?)"
)
_FIND = (
    r"\b(?:identify|find|underline|circle|highlight|list|label|name|extract|pick out|mark|spot|select|tag|locate|determine|give|tell me"
    r"|point out|what|which|state)\b"
)
_CONFUSED = (
    r"affect|effect|then|than|its|it's|their|there|they're|your|you're|who|whom|lay|lie|fewer|less|farther|further|that|which|may|might"
    r"|can|could|shall|will|would|should|to|too|among|between|i\.e\.|e\.g\.|compliment|complement|principal|principle|advice|advise"
    r"|lose|loose|accept|except|much|many|since|for|in|on|at|a|an|the"
)

_ENGLISH = (
    Rule(
        "cipher",
        "drop",
        "a code replaces the letters of the source language",
        _stems("pig latin|caesar|rot13|rot-13|morse|decode|encode|decipher|encrypt|decrypt|leet|position in|positions in|nato"),
        _re(
            r"\bpig latin\b|\bcaesar (?:cipher|shift)\b|\brot-?13\b|\b(?:in|into|to|from|using) morse\b|\bmorse code for\b",
            r"\b(?:decode|encode|decipher|encrypt|decrypt)\b<s>\b(?:message|text|words?|phrase|sentence)\b|\bleet ?speak\b",
            r"\bpositions? in the alphabet\b|\bnato (?:phonetic )?alphabet for\b",
        ),
        ("Write 'see you' in pig latin.", "eesay ouyay"),
        ("Who invented Morse code?", "Samuel Morse and Alfred Vail."),
        unless=_re(r"<ABOUT>"),
        spares_code=True,
    ),
    Rule(
        "translation",
        "adapt",
        "the text to be translated and its translation are the task",
        _stems("translat") + _NAMES,
        _re(
            r"\btranslate\b(?! (?:the|this|these|your|an?|following|\w+)? ?(?:code|function|program|script|snippet|formula|equation)\b)"
            r"(?P<p1>[^\n]{0,200}?)\b(?:in|into|to)\b (?:the )?<L>",
            r"\btranslate\b[^\n]{0,80}\bfrom (?:the )?<L>|\btranslate the <L>|^\W*translate(?: this| the following)?:",
            r"\b(?:render|convert|put|change|turn)\b[^.?!\n]{0,60}\b(?:sentences?|text|passage|quote|this|phrase|words?)\b[^.?!\n]{0,60}?"
            r"\b(?:in|into|to)\b (?:the )?<L>",
            r"\bhow (?:do|would|can|could|to|does|might|should)\b<S>\b(?:say|write|express)\b (?P<p2>[^\n?]{1,120}?),? in (?:the )?<L>",
            r"\bwhat(?:'s|’s| is| are| would)\b <QQ>(?: be)? in (?:the )?<L>|\bsay <QQ> in <L>",
            r"\bwhat (?:is|are) (?:the )?(?:<L>) (?:word|words|term|phrase|translation|equivalent|expression|name) (?:for|of) (?P<p3>[^.?!\n]+)",
            r"\b<L> (?:word|words|term|phrase|translation|equivalent|expression) (?:for|of) (?P<p4>[^.?!\n]+)",
            r"\btranslations? (?:of|for)\b<S>\b(?:in|into|to) <L>|\bneed\b<S>\bin <L>[^.?!\n:]{0,20}:",
        ),
        ("Translate into Polish: The shop is open.", "Sklep jest otwarty."),
        ("Translate this C code to Rust: `int x = 1;`", "`let x = 1;`"),
        unless=_re(r"\bwhy\b|\bwho\b|\b(?:pig latin)\b"),
        keeps=("payload", "reply"),
    ),
    Rule(
        "correction",
        "adapt",
        "the faults are in a sentence of the source language; a translation has none",
        _stems("gramma|spelling|typo|proof|punctuat|capitali|misspel|spell|comma|run-on|error|mistake|subject-verb|wrong with|correct"),
        _re(
            r"\b(?:correct|fix|check|edit|revise|rewrite|identify|find|spot|detect|remove|clean up|repair|amend|review|make|add|insert"
            r"|look for|list|highlight|improve|point out|go over)\b[^.?!\n]{0,70}(?:\bgramma(?:r|tical(?:ly)?)\b|\bspellings?\b|\bmisspel\w+"
            r"|\btypos?\b|\btypographical\b|\bpunctuation\b|\bcapitali[sz]ation\b|\bcommas\b|\bsubject-verb\b|\brun-on\b|\berror[- ]free\b)",
            r"\bproof-?read\b|\bspell[- ]?check\b|\bpunctuate\b",
            r"\b(?:correct|fix) (?:any |the |all )?(?:errors?|mistakes?)?(?: in )?(?:this|these|the|the following) (?:english )?"
            r"(?:sentences?|paragraphs?)\b",
            r"\b(?:errors?|mistakes?) (?:is |are )?(?:in|with) (?:this|the|these|each)(?: following| given)? (?:sentences?|paragraphs?)\b",
            r"\b(?:is|are|if|whether) (?:this|the|these|each)(?: following| given)? sentences? (?:is |are )?(?:grammatical(?:ly)?|correct\b)",
            r"\bwrong with (?:this|the|these)(?: following)? sentences?\b|\bcorrect (?:the )?verb (?:tenses?|forms?)\b",
        ),
        ("Fix the grammar: She have two cat.", "She has two cats."),
        ("Correct the following statement: The Sun orbits the Earth.", "The Earth orbits the Sun."),
        unless=_re(r"\b(?:improve|learn|teach|better|practi[cs]e) (?:my|your|their|his|her|our|english)? ?(?:grammar|spelling)\b", r"\btools?\b"),
        keeps=("payload", "echo"),
        otherwise="drop",
        spares_code=True,
    ),
    Rule(
        "rewriting",
        "adapt",
        "the form of a sentence is changed in ways that other languages do not have",
        _stems("passive|active voice|tense|upper|lower|title case|sentence case|all caps|all-caps|capital|contraction|direct speech|reported speech|indirect speech|first person|first-person|second person|third person|third-person|a question|negative|plural|singular|relative pronoun|relative clause"),
        _re(
            r"\b(?:change|convert|rewrite|turn|transform|rephrase|switch|combine|join|put|write|make|express)\b (?:it |them |from |the |this "
            r"|these |that |each |both |following |two |direct |active |present |past |given |all |using |words? |texts? |sentences? |statements? "
            r"|paragraphs? |phrases? |titles? |string |verbs? |passage |story |below |speech |tense |so that |is |are |in |into |to |an? |as )*"
            r"(?:\w+ )?(?:(?:passive|active)(?: voice)?\b|(?:simple )?(?:past|present|future)(?: perfect| continuous| simple| progressive)* tense"
            r"|(?:upper|lower|title|sentence)[- ]?case\b|(?:all )?capital letters|all[- ]caps\b|contractions?\b|(?:reported|indirect|direct)"
            r" speech|(?:first|second|third)[- ]person\b|questions?\b(?= form|:|\.|\s*$)|(?:plural|singular|negative)\b|relative (?:pronoun|clause))",
            r"\bcapitali[sz]e (?:the |this |these |each |every |all )",
        ),
        ("Change to the passive voice: The dog chased the cat.", "The cat was chased by the dog."),
        ("Write a story in the first person.", "I woke up late that day."),
        unless=_re(r"\bwrite (?:an? |the )?(?:\w+ )?(?:story|essay|poem|letter|scene|diary|blog|list)\b"),
        keeps=("payload", "echo"),
        spares_code=True,
    ),
    Rule(
        "rhyme",
        "drop",
        "rhymes are between the words of one language",
        _stems("rhym"),
        _re(
            r"\brhym\w* with\b|\brhyming\b|\brhyme scheme\b|\b(?:in|with|using|for|that|which|should|must|has to|to|it|and|not|n't) rhymes?\b",
            r"\b(?:finish|complete|continue|write|make up|create|recite|give|tell)\b<s>\brhymes?\b",
        ),
        ("What rhymes with moon?", "Spoon and June do."),
        ("What is a rhyme?", "The same sound at the ends of two words."),
        unless=_re(r"<ABOUT>", r"\b(?:do|does|must|should) (?:\w+ )*(?:poems?|poetry|songs?|lyrics)\b[^?\n]*\?"),
    ),
    Rule(
        "verse_form",
        "drop",
        "these forms count syllables, stresses or letters",
        _stems("haiku|limerick|sonnet|acrostic|villanelle|sestina|iambic|pentameter|tanka|cinquain|couplet|quatrain|first letter"),
        _re(
            r"\b(?:haikus?|limericks?|sonnets?|acrostics?|villanelles?|sestinas?|tankas?|cinquains?|quatrains?|couplets?|iambic|pentameter)\b",
            r"\bfirst letters? of (?:the|each|every) (?:lines?|words?|sentences?)\b",
        ),
        ("Write a limerick about a goat.", "There once was a goat in a boat..."),
        ("Who wrote the most famous sonnets?", "Many would say Shakespeare."),
        unless=_re(r"<ABOUT>", r"\bwhich\b", r"\b(?:analy[sz]e|interpret|summari[sz]e)\b"),
    ),
    Rule(
        "letters",
        "drop",
        "letters, syllables and words are counted in the source language",
        _stems("letter|vowel|consonant|syllable|character|many word|of words|the words|exactly|many times"),
        _re(
            r"\bhow many (?:\w+ )?(?:letters|vowels|consonants|syllables|characters|words|[a-z]['’]?s)\b<S>\b(?:in|does|has|have|are)\b<s>"
            r"(?:<Q>|\bword\b|\bsentence\b|\bphrase\b|\bstring\b)",
            r"\b(?:count|number of)\b (?:up |the |all |number |of |how |many )*(?:letters|vowels|consonants|syllables)\b",
            r"\b(?:count|number of)\b (?:up |the |all |number |of |how |many )*(?:characters|words)\b<s>(?:<Q>|\bsentence\b|\bphrase\b"
            r"|\bstring\b|\bparagraph\b|\btext\b)",
            r"\bhow many times\b<s>\b(?:letter|vowel|character)\b|\b(?:into|in|of) syllables\b",
            r"\b(?:first|second|third|fourth|fifth|sixth|last|middle|\d(?:st|nd|rd|th)) (?:letter|vowel|consonant|character|syllable) (?:of|in)\b",
            r"\bexactly (?:\w+|\d+) (?:letters|words|syllables|characters)\b",
        ),
        ('How many letters are in "window"?', "Six"),
        ("How many letters did Van Gogh write to Theo?", "More than 650."),
        unless=_re(r"\balphabet\b"),
        spares_code=True,
    ),
    Rule(
        "first_letter",
        "drop",
        "the words are chosen by their letters",
        _stems("start with|starts with|starting with|begin with|begins with|beginning with|end with|ends with|ending with|end in|ends in|ending in|starts and|start and|start or|starts or|letter|three-letter|four-letter|five-letter|six-letter"),
        _re(
            r"\b(?:starts?|starting|begins?|beginning|ends?|ending)(?: (?:and|or) (?:ends?|ending))? (?:with|in|on) (?:the |an? |same )*"
            r"(?:letters? <Q>?[a-z](?!\w)|same letter|vowel|consonant|<Q>[a-z]{1,5}['\"”’»`]|-[a-z]{1,6}\b|(?-i:[A-Z])(?=[.,?!:\n]|$))",
            r"\bwithout (?:using )?(?:the )?letters?\b|\b(?:no|the|only the) letters? <Q>?[a-z](?!\w)|\b(?:\d+|three|four|five|six|seven)[- ]letter words?\b",
        ),
        ("Name a city that starts with the letter B.", "Berlin"),
        ("Start with the letter to your aunt.", "Dear aunt, thank you for the scarf."),
        spares_code=True,
    ),
    Rule(
        "anagram",
        "drop",
        "the letters of a word are moved around",
        _stems("anagram|unscrambl|scrambl|jumble|rearrang|letters"),
        _re(
            r"\banagrams?\b|\bunscramble\b|\b(?:scrambled|jumbled)(?:-up| up)? (?:letters|words?)\b|\brearrang\w+\b<s>\bletters\b",
            r"\bletters\b<S>\bscrambled\b|\bsolve (?:this|the) (?:word )?jumble\b|\b(?:only|from|using) (?:the )?letters (?:in|of|from)\b",
        ),
        ('Find an anagram of "stone".', "notes"),
        ("Write code that groups anagrams.", "Sort the letters of each word and use them as the key."),
        unless=_re(r"\bwhat (?:is|are) (?:an )?anagrams?\W*$"),
        spares_code=True,
    ),
    Rule(
        "reversal",
        "drop",
        "a word is read backwards, letter by letter",
        _stems("palindrom|backward|revers|in reverse"),
        _re(
            r"\bpalindromes?\b|\bpalindromic (?:words?|sentences?|phrases?|names?)\b|\b(?:spell|write|say|read)\b<S>\b(?:backwards?|in reverse)\b",
            r"\brevers(?:e|ing)\b<s>\b(?:letters|characters|string|words?|spelling)\b",
        ),
        ("Spell 'river' backwards.", "revir"),
        ("Reverse the roles of hero and villain.", "The villain saved the town."),
        unless=_re(r"\bnumbers?\b"),
        spares_code=True,
    ),
    Rule(
        "alphabet",
        "drop",
        "another language sorts its own words in another order",
        _stems("alphabet|a to z|dictionary|letter comes"),
        _re(
            r"\balphabetical(?:ly)?\b|\balphabeti[sz]e\b|\b(?:sort|order|arrange)\b<S>\bfrom a to z\b|\b(?:first|last|next|before|after)\b<s>"
            r"\bin (?:a|the) (?:dictionary|alphabet)\b|\bletter comes\b",
        ),
        ("Put these in alphabetical order: oak, ash, elm", "ash, elm, oak"),
        ("How does an alphabetic script differ from a syllabary?", "It has signs for single sounds."),
        spares_code=True,
    ),
    Rule(
        "spelling",
        "drop",
        "spelling belongs to the words of one language",
        _stems("spell|spelt|misspel"),
        _re(
            r"\bhow (?:do|would|should|to|is|are|can|was)\b<S>\bspel(?:l|led|t)\b|\bspelling (?:of|for)\b|\bspel(?:led|t) (?:correctly|incorrectly"
            r"|wrong)|\b(?:correctly|incorrectly|wrongly) spel(?:led|t)\b|\bspell (?:out )?(?:the )?(?:word|name)?\s*<Q>|\bspell (?:out )?the word"
            r"|\bmisspel\w+\b",
        ),
        ("How do you spell the word for a stair rail?", "B-A-N-I-S-T-E-R"),
        ("How does a spelling bee work?", "Children spell words until one is left."),
        unless=_re(r"\bspelling bee\b"),
        spares_code=True,
    ),
    Rule(
        "pronunciation",
        "drop",
        "sounds belong to the words of one language",
        _stems("pronounc|pronunc|phonetic|homophon|homonym|homograph|silent|syllable|sound the same|sound alike|vowel sound|ipa"),
        _re(
            r"\bpronounced?\b(?! (?:a |the )?(?:judge?ment|sentence|verdict|dead|guilty|him|her|them))|\bpronunciations?\b",
            r"\bphonetic(?:ally)? (?:spelling|transcription|transcribe|alphabet)|\bipa (?:transcription|for|of|symbols?)\b|\bhomo(?:phone|nym|graph)s?\b"
            r"|\bsilent (?:letters?|<Q>?[a-z]\b)|\bin <QQ> silent\b|\bsyllables?\b<s>\b(?:stress|accent)|\b(?:sound (?:the same|alike)|vowel sounds?)\b",
        ),
        ("How is 'draught' pronounced?", "Like 'draft'."),
        ("What happens after a judge pronounces a sentence?", "The convict may appeal."),
        unless=_re(r"\bjudge\b", r"\bwhat is (?:a |an )?(?:homo|phonetic)"),
    ),
    Rule(
        "word_game",
        "drop",
        "the game is played with the letters or sounds of words",
        _stems("hangman|crossword|scrabble|wordle|mad lib|word ladder|word search|word association|word chain"),
        _re(r"\b(?:hangman|crosswords?|scrabble|wordle|mad libs?|word (?:ladder|search|association|chain)s?)\b"),
        ("Let's play hangman.", "_ _ _ _ _"),
        ("In what year was Scrabble invented?", "In 1938."),
        unless=_re(r"<ABOUT>", r"\brecord\b", r"\bwhen was\b"),
        spares_code=True,
    ),
    Rule(
        "cloze",
        "drop",
        "the gap asks for a form of the source language's grammar",
        _stems("article|preposition|pronoun|conjunction|verb|tense|form of|forms of|correct form|right form|determiner|completes|best completes"),
        _re(
            r"\b(?:fill in|complete|insert|choose|select|pick|put|use|add|supply)\b[^.?!\n]{0,60}\b(?:correct|right|appropriate|proper|missing|suitable)"
            r" (?:\w+ )?(?:articles?|prepositions?|pronouns?|conjunctions?|verbs?|tense|forms?|determiners?)\b",
            r"\bwords? (?:that )?(?:best )?completes? (?:the|this) sentence|\bcorrect (?:form|tense) of\b|\bin (?:brackets|parentheses)\b<s>\b(?:tense|form)\b",
        ),
        ("Fill in the right preposition: I am good ___ chess.", "at"),
        ("Fill in the blank: The capital of France is ___.", "Paris"),
    ),
    Rule(
        "inflection",
        "drop",
        "the forms of a word belong to one language",
        _stems("plural|past tense|past participle|present participle|gerund|comparative|superlative|infinitive|conjugat|adverb|adjective|noun|prefix|suffix|verb"),
        _re(
            r"\b(?:plural|past tense|past participle|present participle|gerund|comparative|superlative|infinitive|adverb|noun|adjective)(?: forms?)? (?:of|for)\b"
            r"<s>(?:<Q>|\b(?:words?|verbs?|nouns?|adjectives?|each|following)\b)",
            r"\bconjugate\b (?:the |these |this |following |spanish |french |verbs? )*(?:<Q>|verbs?\b|in the\b)|\b(?:prefix|suffix)(?:es)?\b<s>\b(?:words?|opposite)\b",
            r"\b(?:turn|change|convert|make|form)\b<s>\b(?:adjectives?|verbs?|nouns?|adverbs?)\b<s>\b(?:into|to|from)\b|\bnoun\b<s>\bfrom the verb\b",
        ),
        ("What is the past tense of 'bring'?", "brought"),
        ("What is the conjugate base of an acid?", "What is left when it has given a proton away."),
        spares_code=True,
    ),
    Rule(
        "syntax",
        "drop",
        "word classes and clauses are those of one language",
        _stems("sentence|noun|verb|adjective|adverb|pronoun|preposition|conjunction|interjection|predicate|part of speech|parts of speech|part-of-speech|parts-of-speech|pos tag|pos-tag|parse|diagram|dangling|compound, or|compound or"),
        _re(
            rf"{_FIND}<S>\b{_GRAMMAR}\b<S>(?:\bsentences?\b|\btext\b|\bphrase\b|\bparagraph\b|\bpassage\b|\bbelow\b|<QQ>)",
            rf"\b(?:underline|circle|pick out|highlight|identify|find) (?:all |both )?(?:the )?{_GRAMMAR}(?: and \w+ the {_GRAMMAR})?(?: in)?:",
            r"\bwhich word\b<S>(?:<QQ>|sentence)<S>\b(?:noun|verb|adjective|adverb|pronoun|preposition)\b",
            r"\bparts?[- ]of[- ]speech\b|\bpos[- ]tag|\bparse trees?\b|\b(?:diagram|parse) (?:the|this) sentence\b|\bcompound,? or complex\b"
            r"|\bdangling modifier\b",
        ),
        ("Find the verb in the sentence: Birds sing at dawn.", "sing"),
        ("What is the subject of this painting?", "A girl who reads a letter."),
        spares_code=True,
    ),
    Rule(
        "synonyms",
        "drop",
        "what the words of one language have in common is asked for, and translated words fall together",
        _stems("synonym|antonym|opposite|another word|other word|different word|alternative word|better word|stronger word|fancier word|another way|other way|different way|adjective|adverb|verb|noun|english"),
        _re(
            r"\bsynonyms?\b|\bantonyms?\b|\b(?:another|other|different|alternative|better|stronger|fancier) words? (?:for|to|that|than|could|can)\b",
            r"\b(?:another|other|different) ways? (?:to say|of saying)\b|\bopposites? (?:of|for)\b<s>(?:<Q>|\bwords?\b|\beach\b|\bfollowing\b)",
            r"\b(?:list|give|name|come up with|provide|suggest|generate|think of|write)\b<s>\b(?:adjectives|adverbs|verbs|nouns)\b",
            r"\benglish (?:words?|verbs?|nouns?|adjectives?|idioms?|prepositions?)\b",
        ),
        ('Find two synonyms of "small".', "little, tiny"),
        ("What is a synonymous mutation?", "A change in DNA that leaves the protein as it was."),
        certain=False,
        spares_code=True,
    ),
    Rule(
        "wordplay",
        "drop",
        "the joke or the effect is in the sound or the second meaning of a word",
        _stems("pun|wordplay|word play|play on|plays on|tongue|knock|dad joke|alliterat|portmanteau|spooner|onomatop"),
        _re(
            r"\bpuns?\b|\bpunny\b|\bword ?play\b|\bplays? on words\b|\btongue[- ]twisters?\b|\bknock[- ]knock\b|\bdad jokes?\b|\balliterati\w+\b"
            r"|\bportmanteaus?\b|\bspoonerisms?\b|\bonomatopoei\w+\b",
        ),
        ("Tell me a pun about fish.", "I'm hooked."),
        ("What is a pun?", "A joke with a word that has two meanings."),
        unless=_re(r"<ABOUT>", r"\bwhat does\b"),
    ),
    Rule(
        "mnemonic",
        "drop",
        "the letters of a word are made to stand for others",
        _stems("mnemonic|acronym|backronym"),
        _re(
            r"\bmnemonics?\b|\b(?:create|make(?: up)?|come up with|invent|forms?|spells?|think of|suggest|generate|write|give)\b<S>\b(?:back|acr)onyms?\b",
        ),
        ("Come up with an acronym for a running club.", "PACE: People Always Chasing Energy"),
        ("What is a mnemonic?", "A device that helps the memory."),
        unless=_re(r"\bwhat is an? (?:mnemonic|acronym)\b", r"\bmnemonics? (?:code|instruction)"),
    ),
    Rule(
        "which_language",
        "adapt",
        "the language of a text is asked for, so the text stays",
        _stems("language"),
        _re(
            r"\b(?:what|which) language (?:is|are|was)\b<S>(?:<Q>|:|\b(?:this|following|these)\b)|\b(?:identify|detect|determine|guess|recogni[sz]e)"
            r" the language\b|\blanguage (?:is|of) (?:this|the following)\b",
        ),
        ('Which language is "Dobar dan"?', "Croatian"),
        ("Which language is spoken in Brazil?", "Portuguese"),
        keeps=("payload",),
        spares_code=True,
    ),
    Rule(
        "acronym",
        "adapt",
        "the initials are those of words of the source language",
        _stems("stand for|stands for|full form|acronym|abbreviation|short for"),
        _re(r"\bstands? for\b|\bfull form\b|\bacronyms?\b|\babbreviations?\b|\bshort for\b"),
        ("What does WHO stand for?", "World Health Organization"),
        ("What does the dove stand for?", "It stands for peace."),
        keeps=("expansion",),
    ),
    Rule(
        "word_in_sentence",
        "adapt",
        "a sentence of the source language with a given word is asked for",
        _stems("sentence"),
        _re(
            r"\b(?:use|using|put)\b<S>\bin (?:an?|one|the same|two|three) (?:\w+ )?sentences?\b",
            r"\b(?:make|write|create|construct|compose|form|give|generate)\b<s>\bsentences?\b<s>\b(?:with|using|contain\w*|for|includ\w+|uses)\b<s>"
            r"(?:\bwords?\b|<QQ>)",
        ),
        ('Use "reluctant" in a sentence.', "She was reluctant to leave."),
        ("Describe a volcano in one sentence.", "A volcano is an opening in the crust of the Earth."),
        keeps=("terms", "answer"),
    ),
    Rule(
        "word_meaning",
        "adapt",
        "a word is asked about, so the word stays while the explanation is translated",
        _stems("word|phrase|expression|slang|verb|adjective|noun|adverb|mean|definition of|etymology|dictionary entry|define"),
        _re(
            r"\b(?:define|definitions? of|meanings? of|origins? of|etymology of|what (?:does|do|is)|explain|mean by)\b<s>\b(?:words?|phrase|expression"
            r"|slang(?: term)?|verb|adjective|noun|adverb)\b (?:<QQ>|(?P<t1>(?!of\b|for\b|in\b|to\b|that\b|which\b|is\b|and\b|or\b|order\b|count\b"
            r"|meaning\b|processor\b)[a-z-]{4,20})\b)",
            r"\bwhat (?:does|do|did) <QQ> mean\b|\bdictionary entry for <QQ>|\b(?:definition|meaning|etymology) of <QQ>|\bdefine:? <QQ>",
        ),
        ("What does the word 'terse' mean?", "Short, almost rude."),
        ("What is the meaning of life?", "Philosophers differ."),
        keeps=("terms",),
        spares_code=True,
    ),
    Rule(
        "idiom",
        "adapt",
        "a figure of speech is asked about; word by word its translation would mean nothing",
        _stems("idiom|proverb|saying|expression|phrase|figure of speech|adage|mean to"),
        _re(
            r"\b(?:idioms?|proverbs?|sayings?|expressions?|phrases?|figure of speech|adage)\b:? <QQ>|\bwhat does it mean to <QQ>",
            r"\bidiom: (?P<t1>[^.?!\n]+)",
        ),
        ('What does the proverb "haste makes waste" mean?', "Who hurries makes mistakes."),
        ("Why are proverbs common in speeches?", "They are short and known to all."),
        keeps=("terms",),
        spares_code=True,
    ),
    Rule(
        "usage",
        "adapt",
        "a question about words of the source language, so the words stay",
        _stems("difference|correct|to use|i use|we use|you use|one use|is it|i say|we say|you say|i write|we write|you write|a word|real word|proper word|grammatical|sentence with"),
        _re(
            r"\bdifferences? between (?:the )?(?:words? |use of )?<QQ> and <QQ>",
            rf"\bdifference between (?P<t1>{_CONFUSED}) and (?P<t2>{_CONFUSED})(?![\w'’])",
            rf"\bwhen (?:do|should|to) (?:i |we |you |one )?use (?P<t3>{_CONFUSED}) (?:and|or|vs\.?|versus|instead of)(?: when)? (?P<t4>{_CONFUSED})(?![\w'’])",
            r"\b(?:how|when) (?:do|should|to|can|would) (?:i |we |you |one )?use (?:the words? )?<QQ>",
            r"\b(?:which (?:one )?is (?:grammatically )?correct\b<s>|is it |do (?:you|we|i) (?:say|write) |should (?:i|we|you) (?:say|write|use) )<QQ>,? or <QQ>",
            r"\bis <QQ> (?:a (?:real |proper )?word|grammatical|correct)\b|\bend a sentence with <QQ>",
        ),
        ('Do I say "on Monday" or "in Monday"?', 'Say "on Monday".'),
        ("What is the difference between a frog and a toad?", "Toads have dry skin."),
        keeps=("terms",),
        spares_code=True,
    ),
    Rule(
        "regex",
        "adapt",
        "the answer is an expression and no language",
        _stems("regex|regular expression"),
        _re(r"\breg(?:ex(?:es|p|ps)?|ular expressions?)\b"),
        ("Write a regex for three digits.", r"^\d{3}$"),
        ("What is a regular expression?", "It describes a set of strings in a compact way."),
        keeps=("bare",),
    ),
    Rule(
        "answer_language",
        "adapt",
        "the language of the answer is given",
        _NAMES,
        _re(
            r"\b(?:answer|reply|respond|response|output|talk|speak|communicate)\b[^.?!\n]{0,60}\b(?:in|only|use) (?:only )?<L>(?! (?:class|lit|law|speak|hist))",
            r"\b(?:write|compose|draft|create|generate|make|prepare)\b (?:me |us )?(?:an?|the|your|two|three|\w+)\b[^.?!\n]{0,60}\bin <L>(?! (?:class|lit|law|speak|hist))",
            r"\b(?:explain|describe|tell|summari[sz]e|introduce|give|list|say)\b[^.?!\n]{0,100}\bin <L>(?:,? please)?\s*(?:[.?!:]|$)|\bin <L>,? please\b"
            r"|\bplease\b<s>\bin <L>(?=[.?!:]|$)|\b(?:only|always) (?:speaks?|uses?|writes?|answers? in|repl(?:y|ies) in|responds? in) <L>",
        ),
        ("Who was Goethe? Answer in German.", "Ein deutscher Dichter."),
        ("Explain inflation in plain English.", "Prices go up over time."),
        keeps=("answer",),
        role="any",
    ),
    Rule(
        "multiple_choice",
        "adapt",
        "the letters name the options, and the answer names a letter",
        _stems("b)|b.|b:|b]"),
        re.compile(r"(?<![\w'’])[\[(]?[Aa][\]).:](?=\s)"),
        ("Which is a fish?\nA) Whale\nB) Trout", "B"),
        ("Compare plan A and plan B.", "A costs less."),
        keeps=("letters",),
    ),
)

RULES: dict[str, RuleTable] = {"en": RuleTable.of(*_ENGLISH)}
