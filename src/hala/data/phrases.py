"""What models say when they do not translate, by language code: refusals, announcements, notes; and how questions open.

Patterns are dear and words are cheap: what a pattern of refusals or notes matches has one of the language's HINTS ("_" is a
space), and what a pattern of openings matches begins with one of its FIRST_WORDS.

>>> from hala.data.phrases import REFUSALS
>>> bool(REFUSALS["en"].search("I'm sorry, but I can't help with that."))
True
"""

from __future__ import annotations

import re

_I = re.IGNORECASE


def _phrases(*patterns: str) -> re.Pattern[str]:
    return re.compile("|".join(patterns), _I)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FIRST_WORDS: dict[str, str] = {
    "en": "sure certainly of okay ok absolutely no great got understood definitely alright here below this following the"
    " my i translate"
    " translation translated in arabic hindi vietnamese swahili output target answer response result",
    "ar": "بالتأكيد بالطبع حسنا حسنًا حسناً تفضل تفضلوا تفضلي طبعا طبعًا طبعاً بكل أكيد على لا نعم إليك إليكم اليك فيما"
    " هذه هنا ها وهذه أدناه تجد"
    " ترجمة الترجمة النص بالعربية سأترجم سأقوم يمكن الإجابة الجواب الرد المخرجات الناتج",
    "hi": "ज़रूर जरूर ज़रूर बिल्कुल निश्चित अवश्य ठीक बेशक हाँ यहाँ यहां यह ये नीचे निम्नलिखित प्रस्तुत हिंदी हिन्दी"
    " अनुवाद अनुवादित अनूदित उत्तर जवाब परिणाम",
    "vi": "chắc tất được vâng dạ dĩ không đây dưới sau xin bên tôi bản dịch tiếng văn trả câu đáp kết",
    "sw": "hakika bila sawa ndiyo naam hamna hakuna kwa hii hapa ifuatayo haya nitatafsiri tafsiri kiswahili maandishi"
    " jibu matokeo",
}
HINTS: dict[str, str] = {
    "en": "sorry cannot i_can i_won unable not_able not_allowed as_an an_ai a_language a_large afraid decline refuse"
    " my_guidelines my_programming"
    " my_policy my_policies my_principles violates goes_against contains_harmful contains_inappropriate contains_unsafe"
    " note notes explanation comment disclaimer p_s i_translated i_ve i_have i_kept i_preserved i_tried i_left i_rendered"
    " let_me hope_this"
    " hope_that hope_it translation would_you do_you original_text source_text translates translated",
    "ar": "كنموذج بصفتي نموذج نموذجا نموذجًا نموذجاً ذكاء عذرا عذرًا عذراً معذرة المعذرة آسف اسف أعتذر اعتذر يؤسفني للأسف"
    " أستطيع استطيع يمكنني لا_أقدر أتمكن قادر قادرا قادرًا قادراً بإمكاني مسموح هذا_الطلب هذا_المحتوى هذا_النص يتعارض يخالف"
    " ملاحظة ملاحظات ملحوظة تنويه توضيح شرح تعليق إيضاح ترجمت بترجمة ترجمة الترجمة أتمنى آمل أعلمني أخبرني النص_الأصلي"
    " هل_تريد هل_ترغب هل_تود",
    "hi": "मॉडल सहायक असिस्टेंट क्षमा माफ़ माफ माफ़ी माफी माफ़_करें खेद सॉरी असमर्थ सक्षम_नहीं मैं यह_अनुरोध यह_सामग्री यह_पाठ"
    " नोट टिप्पणी स्पष्टीकरण व्याख्या ध्यान_दें मैंने अनुवाद उम्मीद_है आशा_है मूल_पाठ बताएं बताइए बताएँ",
    "vi": "tôi_là mình_là em_là tôi_chỉ_là mình_chỉ_là mô_hình tư_cách là_ai là_một_ai là_trợ_lý xin_lỗi rất_tiếc thứ_lỗi"
    " tôi_không_thể mình_không_thể tôi_không_được tôi_xin tôi_phải tôi_buộc mình_xin em_xin"
    " em_không_thể từ_chối yêu_cầu_này nội_dung_này văn_bản_này"
    " ghi_chú lưu_ý chú_thích giải_thích tôi_đã hy_vọng bản_dịch văn_bản_gốc nguyên_bản hãy_cho bạn_có_muốn",
    "sw": "modeli muundo mfumo msaidizi kama_ai ni_ai akili samahani nasikitika pole radhi bahati siwezi sitaweza sina"
    " siruhusiwi ombi_hili"
    " maudhui_haya maandishi_haya kumbuka maelezo dokezo angalizo tanbihi nimetafsiri nimejaribu nimehifadhi nimeacha natumaini"
    " tafsiri maandishi_asilia maandishi_ya nijulishe ungependa",
}
REFUSALS: dict[str, re.Pattern[str]] = {
    "en": _phrases(
        r"\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b",
        r"\bi(?:['’]m| am) (?:just |only )?an? (?:ai|(?:large )?language model)\b",
        r"\bi(?:['’]m| am) (?:very |so |really )?(?:sorry|afraid|unable|not able|not allowed)\b.{0,40}\b(?:can(?:no|['’])t"
        r"|cannot|unable"
        r"|not able|won['’]t|not possible|to (?:help|assist|translate|provide|comply|fulfil|answer))",
        r"\bsorry\b.{0,20}\bi(?: can(?:no|['’])t| cannot|['’]m unable| am unable| won['’]t)",
        r"\bi (?:can(?:no|['’])t|cannot|won['’]t|am unable to|am not able to) (?:help|assist|translate|provide|comply|fulfil"
        r"|answer"
        r"|do (?:that|this)|engage|continue|create|generate|process)\b|\bi (?:must|have to) (?:decline|refuse)\b",
        r"\bagainst my (?:guidelines|programming|policy|policies|principles)\b",
        r"\b(?:this|the|that|your) (?:request|text|content|message) (?:violates|goes against|contains (?:harmful"
        r"|inappropriate|unsafe))",
        r"\bunable to (?:translate|assist|help|process|comply|provide)\b",
    ),
    "ar": _phrases(
        r"(?:كنموذج لغوي|كنموذج لغة|بصفتي (?:نموذج|مساعد|ذكاء)|أنا (?:مجرد )?(?:نموذج لغ|نموذج ذكاء|ذكاء اصطناعي|مساعد ذكاء"
        r"|مساعد افتراضي))",
        r"(?:عذر[اً]{1,2}|معذرة|آسف|اسف|أعتذر|اعتذر|المعذرة|يؤسفني|للأسف).{0,45}?(?:لا (?:أستطيع|استطيع|يمكنني|أقدر|يمكن ترجم"
        r"|أتمكن)"
        r"|لست قادر|غير قادر|لن (?:أتمكن|أستطيع)|عدم قدرتي|تعذر علي|ليس بإمكاني)",
        r"^\W*(?:لا (?:أستطيع|استطيع|يمكنني|أقدر على)|لن أتمكن من|لن أستطيع|لست قادر[اً]* على|ليس بإمكاني"
        r"|غير مسموح لي) ?(?:أن )?(?:ب|ال|أ|ت)?"
        r"(?:مساعد|ترجم|قديم|قدم|إجاب|تقديم|لبي|تلبي|متابع|نفيذ|تنفيذ|قوم|قيام|معالج|كتاب)",
        r"(?:هذا الطلب|هذا المحتوى|هذا النص) (?:يخالف|ينتهك|يتعارض مع|مخالف)",
        r"(?:يتعارض|يخالف) .{0,20}(?:سياسات|إرشادات|مبادئ)ي",
    ),
    "hi": _phrases(
        r"(?:एआई|AI|भाषा|कृत्रिम बुद्धि) ?(?:भाषा )?(?:मॉडल|सहायक|असिस्टेंट) (?:के रूप में|के नाते|हूँ|हूं|होने के)",
        r"(?:क्षमा|माफ़? ?|माफ़ी|खेद|सॉरी).{0,60}?(?:नहीं (?:कर|दे|बता|लिख) ?(?:सकत|पाऊ)|असमर्थ|सक्षम नहीं|मदद नहीं|संभव नहीं"
        r"|अनुवाद नहीं)",
        r"^\W*मैं (?:इस|यह|ऐस|आपक).{0,50}(?:नहीं कर सकत|असमर्थ हूँ|असमर्थ हूं|सहायता नहीं|मदद नहीं|अनुवाद नहीं)",
        r"^\W*मैं .{0,40}(?:करने|देने) में (?:असमर्थ|सक्षम नहीं) ",
        r"यह (?:अनुरोध|सामग्री|पाठ) .{0,30}(?:उल्लंघन|के विरुद्ध|के खिलाफ)",
    ),
    "vi": _phrases(
        r"\b(?:tôi|mình|em) (?:chỉ )?là (?:một )?(?:mô hình|AI\b|trí tuệ nhân tạo|trợ lý (?:ảo|AI))",
        r"\b(?:là|với tư cách|với tư cách là) (?:một )?(?:mô hình ngôn ngữ|AI\b|trợ lý AI)",
        r"\b(?:xin lỗi|rất tiếc|thành thật xin lỗi|xin thứ lỗi).{0,50}?(?:không thể|không có khả năng|chưa thể"
        r"|không được phép|phải từ chối)",
        r"^\W*(?:tôi|mình|em) (?:không thể|không được phép|xin từ chối|phải từ chối|buộc phải từ chối) ?(?:giúp|dịch|hỗ trợ"
        r"|cung cấp|trả lời|thực hiện|đáp ứng|xử lý|tiếp tục)",
        r"\b(?:yêu cầu|nội dung|văn bản) này (?:vi phạm|trái với|đi ngược)",
    ),
    "sw": _phrases(
        r"\b(?:kama|mimi ni) (?:ni )?(?:modeli|muundo|mfumo|msaidizi) (?:ya|wa|ni)? ?(?:wa )?(?:lugha|AI|akili)",
        r"\b(?:kama|mimi ni) (?:AI|akili bandia|akili unde)\b",
        r"\b(?:samahani|nasikitika|pole|niwie radhi|naomba radhi|kwa bahati mbaya).{0,45}?\b(?:siwezi|sina uwezo|sitaweza"
        r"|siruhusiwi|haiwezekani)",
        r"^\W*(?:siwezi|sitaweza|sina uwezo wa|siruhusiwi) (?:ku)?(?:saidi|tafsiri|to|jibu|fany|endele|timiz|shughuliki|andik)",
        r"\b(?:ombi|maudhui|maandishi) (?:hili|haya) (?:linakiuka|yanakiuka|yanaenda kinyume|linaenda kinyume)",
    ),
}
# Announcements open an answer; they are matched at its start only.
OPENINGS: dict[str, re.Pattern[str]] = {
    "en": re.compile(
        r"\W*(?:sure|certainly|of course|okay|ok|absolutely|no problem|great|got it|understood|definitely"
        r"|alright)\b(?: thing)?[,!.:]"
        r"|\W*(?:here(?:['’]s| is| are| you go)|below (?:is|are)|this is|following is|the following is|i(?:['’]d"
        r"| would) translate)"
        r"\b.{0,50}(?:translat|text|version|arabic|hindi|vietnamese|swahili|\bgo\b)"
        r"|\W*(?:the |my |arabic |hindi |vietnamese |swahili )*translat(?:ion|ed)\b.{0,40}[:\n]|\W*in (?:arabic|hindi"
        r"|vietnamese|swahili)\b.{0,30}[:,]"
        r"|\W*(?:arabic|hindi|vietnamese|swahili)(?: text| version)?:|\W*(?:output|target|answer|response|result)\s?:",
        _I,
    ),
    "ar": re.compile(
        r"\W*(?:بالتأكيد|بالطبع|حسن[اً]{1,2}|تفضل(?:وا|ي)?|طبع[اً]{1,2}|بكل سرور|أكيد|على الرحب والسعة|لا مشكلة|بكل تأكيد"
        r"|نعم بالتأكيد)\s?[،,!.:]"
        r"|\W*(?:إليك(?:م)?|اليك|فيما يلي|هذه هي|هنا|ها هي|وهذه|هذه|أدناه|تجد أدناه|فيما يأتي)\s.{0,25}(?:ال)?(?:ترجم"
        r"|نص المترجم|نص بالعربية)"
        r"|\W*(?:ال)?ترجمة(?!\s(?:من|في))\b.{0,40}[:\n]|\W*النص (?:المترجم|بالعربية|العربي)\b|\W*بالعربية\s?:|\W*(?:سأترجم"
        r"|سأقوم بترجمة|يمكن ترجمة)"
        r"|\W*(?:الإجابة|الجواب|الرد|المخرجات|الناتج)\s?:"
    ),
    "hi": re.compile(
        r"\W*(?:ज़?जरूर|ज़रूर|बिल्कुल|निश्चित रूप से|अवश्य|ठीक है|बेशक|हाँ ज़रूर)\s?[,!।:.]"
        r"|\W*(?:यहाँ|यहां|यह|ये|नीचे|निम्नलिखित|प्रस्तुत है)\s.{0,40}(?:अनुवाद|हिंदी में|हिन्दी में)"
        r"|\W*(?:हिंदी |हिन्दी )?(?:अनुवाद|अनुवादित पाठ|अनूदित पाठ)(?![\u0900-\u097f]).{0,30}[:\n]|\W*(?:हिंदी"
        r"|हिन्दी)(?: में)?\s?:"
        r"|\W*(?:उत्तर|जवाब|परिणाम)\s?:"
    ),
    "vi": re.compile(
        r"\W*(?:chắc chắn|chắc chắn rồi|tất nhiên|tất nhiên rồi|được thôi|vâng|được|dạ|dĩ nhiên|không vấn đề gì"
        r"|được rồi)\s?[,!.:]"
        r"|\W*(?:đây là|dưới đây là|sau đây là|xin gửi|bên dưới là|tôi xin dịch|tôi sẽ dịch)\b.{0,30}\b(?:bản dịch|dịch"
        r"|tiếng việt)"
        r"|\W*bản dịch\b.{0,40}[:\n]|\W*(?:dịch sang )?tiếng việt\s?:|\W*văn bản (?:đã )?(?:được )?dịch\b|\W*(?:trả lời"
        r"|câu trả lời|đáp án|kết quả)\s?:",
        _I,
    ),
    "sw": re.compile(
        r"\W*(?:hakika|bila shaka|sawa|ndiyo,? bila shaka|sawa kabisa|naam|hamna shida|hakuna shida|kwa furaha)\s?[,!.:]"
        r"|\W*(?:hii ni|hii hapa ni|hapa kuna|ifuatayo ni|hii hapa|hapa chini ni|haya ni|nitatafsiri)\b.{0,30}\b(?:tafsiri"
        r"|kiswahili|yaliyotafsiriwa)"
        r"|\W*tafsiri\b(?! ya (?:kitabu|biblia)).{0,40}[:\n]|\W*kwa kiswahili\b.{0,20}[:,]|\W*kiswahili\s?:"
        r"|\W*maandishi yaliyotafsiriwa\b|\W*(?:jibu|matokeo)\s?:",
        _I,
    ),
}
# Notes follow a translation, mostly on a line of their own or in brackets; talk about translating stands anywhere.
NOTES: dict[str, re.Pattern[str]] = {
    "en": _phrases(
        r"(?:\n|[.!?؟।]\s|\()\W*(?:translator['’]?s? )?(?:note(?:s)?(?: that)?|explanation|comment|disclaimer|p\.?s)\s?:",
        r"\bi(?:['’]ve| have)? (?:translated|kept|preserved|tried to|left|rendered)\b",
        r"\blet me know (?:if|whether)\b",
        r"\b(?:i )?hope (?:this|that|it) helps\b",
        r"\b(?:this|the|my|above|literal|arabic|hindi|vietnamese|swahili) translation (?:is|was|of|keeps|preserves|maintains"
        r"|conveys|captures|uses)\b",
        r"\b(?:would|do) you (?:like|want|need) (?:me|any|help)\b",
        r"\b(?:original|source) text\b",
        r"\btranslat(?:es|ed) (?:to|into|as)\b",
        r"\(translated\b",
    ),
    "ar": _phrases(
        r"(?:\n|[.!?؟]\s|\()\W*(?:ملاحظة|ملاحظات|ملحوظة|تنويه|توضيح|شرح|تعليق|إيضاح)(?: (?:المترجم|من المترجم|للمترجم))?\s?:",
        r"(?:لقد (?:ترجمت|قمت بترجمة|حافظت)|قمت بترجمة (?:النص|ما|الجملة)|تم(?:ت)? ترجمة (?:النص|الجملة|العبارة|هذا)"
        r"|ترجمت (?:هذا|النص|الجملة))",
        r"(?:أتمنى|آمل) أن (?:تكون|يكون|تفيد|ي).{0,20}(?:الترجم|هذا مفيد|مفيد|يساعد|أفادك)",
        r"(?:أعلمني|أخبرني) إذا (?:كنت|احتجت|كان لديك|أردت)",
        r"(?:هذه الترجمة|الترجمة (?:أعلاه|السابقة|الحرفية)|النص الأصلي|هل (?:تريد|ترغب|تود) (?:أن|في) .{0,20}(?:ترجم|أساعد"
        r"|مساعد))",
    ),
    "hi": _phrases(
        r"(?:\n|[.!?।]\s|\()\W*(?:नोट|टिप्पणी|अनुवादक की टिप्पणी|स्पष्टीकरण|व्याख्या|ध्यान दें कि यह अनुवाद)\s?:",
        r"मैंने .{0,40}अनुवाद",
        r"(?:यह|ऊपर दिया गया|इस|उपरोक्त) अनुवाद",
        r"(?:उम्मीद|आशा) है (?:कि )?(?:यह|इससे) .{0,20}(?:मदद|सहाय|उपयोगी)",
        r"मूल पाठ",
        r"अनुवाद किया गया (?:है|पाठ)",
        r"(?:मुझे|तो|ज़रूर|कृपया) (?:बताएं|बताइए|बताएँ)[।.!]?\s*\Z",
    ),
    "vi": _phrases(
        r"(?:\n|[.!?]\s|\()\W*(?:ghi chú|lưu ý|chú thích|giải thích)(?: của người dịch)?\s?:",
        r"(?<!chúng )\btôi đã (?:dịch|giữ nguyên|cố gắng)\b",
        r"\bhy vọng (?:bản dịch|điều này)\b.{0,30}(?:hữu ích|giúp)",
        r"\b(?:bản dịch (?:này|trên|ở trên)|văn bản gốc|nguyên bản tiếng anh)\b",
        r"\bhãy cho tôi biết nếu\b",
        r"\bbạn có muốn tôi\b",
    ),
    "sw": _phrases(
        r"(?:\n|[.!?]\s|\()\W*(?:kumbuka|maelezo|dokezo|maelezo ya mtafsiri|angalizo|tanbihi)\s?:",
        r"\bnime(?:tafsiri|jaribu ku|hifadhi|acha)",
        r"\bnatumaini (?:tafsiri|hii|kuwa hii|hili)\b",
        r"\b(?:tafsiri (?:hii|hapo juu|iliyo hapo juu)|maandishi (?:asilia|ya awali|ya asili))\b",
        r"\bnijulishe (?:kama|ikiwa|iwapo)\b",
        r"\bungependa ni",
    ),
}
# English words after which an interjection or a note in the translation is no surprise.
INTERJECTIONS = re.compile(
    r"\b(?:of course|sure|surely|certainly|certain|well|okay|ok|fine|good|indeed|absolutely|translat\w*|notes?|noted|here"
    r"|please|yes|yeah"
    r"|all right|alright|definitely|got it|answers?|results?|remarks?|comments?|clarif\w*|explan\w*|explain\w*|great"
    r"|understood|attention|remember"
    r"|warnings?|caution|disclaimer|undoubtedly|doubt|original|originally|inform|tell|outcome|response|output|hint|tips?)\b",
    _I,
)
# Words of yes and no that open an answer, and the English ones that they can translate.
ASSENTS: dict[str, frozenset[str]] = {
    "en": _words(
        "yes yeah yep no nope sure certainly of true false correct right indeed well okay ok never don none neither nothing"
        " nobody"
    ),
    "ar": _words("نعم أجل كلا بلى لا صحيح خطأ"),
    "hi": _words("हाँ हां जी नहीं सही गलत"),
    "vi": _words("vâng có không đúng dạ phải sai"),
    "sw": _words("ndiyo ndio hapana la naam kweli siyo"),
}
INTERROGATIVES: dict[str, frozenset[str]] = {
    "ar": _words("هل ما ماذا من متى أين اين كيف لماذا لم لمَ لِمَ كم أي أى ألا أليس لما أيمكن أتريد ماهو ماهي بماذا لمن إلى"),
}
