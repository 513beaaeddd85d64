"""The facts of the small world as tables, English beside Arabic; `-` leaves a fact out where it is disputed or ambiguous."""

from __future__ import annotations

# country | capital | continent | main language | currency, English then Arabic (language and currency with article)
COUNTRIES = """
France|فرنسا|f|Paris|باريس|Europe|أوروبا|French|الفرنسية|euro|اليورو
Germany|ألمانيا|f|Berlin|برلين|Europe|أوروبا|German|الألمانية|euro|اليورو
Italy|إيطاليا|f|Rome|روما|Europe|أوروبا|Italian|الإيطالية|euro|اليورو
Spain|إسبانيا|f|Madrid|مدريد|Europe|أوروبا|Spanish|الإسبانية|euro|اليورو
Portugal|البرتغال|f|Lisbon|لشبونة|Europe|أوروبا|Portuguese|البرتغالية|euro|اليورو
Greece|اليونان|f|Athens|أثينا|Europe|أوروبا|Greek|اليونانية|euro|اليورو
Poland|بولندا|f|Warsaw|وارسو|Europe|أوروبا|Polish|البولندية|zloty|الزلوتي
Russia|روسيا|f|Moscow|موسكو|-|-|Russian|الروسية|ruble|الروبل
Sweden|السويد|f|Stockholm|ستوكهولم|Europe|أوروبا|Swedish|السويدية|krona|الكرونة
Norway|النرويج|f|Oslo|أوسلو|Europe|أوروبا|Norwegian|النرويجية|-|-
Denmark|الدنمارك|f|Copenhagen|كوبنهاغن|Europe|أوروبا|Danish|الدنماركية|-|-
Finland|فنلندا|f|Helsinki|هلسنكي|Europe|أوروبا|Finnish|الفنلندية|euro|اليورو
Hungary|المجر|f|Budapest|بودابست|Europe|أوروبا|Hungarian|المجرية|forint|الفورنت
Austria|النمسا|f|Vienna|فيينا|Europe|أوروبا|German|الألمانية|euro|اليورو
the Netherlands|هولندا|f|Amsterdam|أمستردام|Europe|أوروبا|Dutch|الهولندية|euro|اليورو
Ireland|أيرلندا|f|Dublin|دبلن|Europe|أوروبا|English|الإنجليزية|euro|اليورو
Romania|رومانيا|f|Bucharest|بوخارست|Europe|أوروبا|Romanian|الرومانية|leu|الليو
Bulgaria|بلغاريا|f|Sofia|صوفيا|Europe|أوروبا|Bulgarian|البلغارية|-|-
Ukraine|أوكرانيا|f|Kyiv|كييف|Europe|أوروبا|Ukrainian|الأوكرانية|hryvnia|الهريفنيا
Britain|بريطانيا|f|London|لندن|Europe|أوروبا|English|الإنجليزية|pound|الجنيه
Turkey|تركيا|f|Ankara|أنقرة|-|-|Turkish|التركية|lira|الليرة
Egypt|مصر|f|Cairo|القاهرة|Africa|أفريقيا|Arabic|العربية|pound|الجنيه
Morocco|المغرب|m|Rabat|الرباط|Africa|أفريقيا|Arabic|العربية|dirham|الدرهم
Algeria|الجزائر|f|Algiers|مدينة الجزائر|Africa|أفريقيا|Arabic|العربية|dinar|الدينار
Tunisia|تونس|f|Tunis|مدينة تونس|Africa|أفريقيا|Arabic|العربية|dinar|الدينار
Libya|ليبيا|f|Tripoli|طرابلس|Africa|أفريقيا|Arabic|العربية|dinar|الدينار
Sudan|السودان|m|Khartoum|الخرطوم|Africa|أفريقيا|Arabic|العربية|pound|الجنيه
Saudi Arabia|السعودية|f|Riyadh|الرياض|Asia|آسيا|Arabic|العربية|riyal|الريال
Iraq|العراق|m|Baghdad|بغداد|Asia|آسيا|Arabic|العربية|dinar|الدينار
Syria|سوريا|f|Damascus|دمشق|Asia|آسيا|Arabic|العربية|-|-
Lebanon|لبنان|m|Beirut|بيروت|Asia|آسيا|Arabic|العربية|-|-
Jordan|الأردن|m|Amman|عمان|Asia|آسيا|Arabic|العربية|dinar|الدينار
Kuwait|الكويت|f|Kuwait City|مدينة الكويت|Asia|آسيا|Arabic|العربية|dinar|الدينار
Qatar|قطر|f|Doha|الدوحة|Asia|آسيا|Arabic|العربية|riyal|الريال
Yemen|اليمن|m|Sanaa|صنعاء|Asia|آسيا|Arabic|العربية|-|-
Iran|إيران|f|Tehran|طهران|Asia|آسيا|Persian|الفارسية|-|-
India|الهند|f|New Delhi|نيودلهي|Asia|آسيا|Hindi|الهندية|rupee|الروبية
Pakistan|باكستان|f|Islamabad|إسلام آباد|Asia|آسيا|Urdu|الأردية|rupee|الروبية
China|الصين|f|Beijing|بكين|Asia|آسيا|Chinese|الصينية|yuan|اليوان
Japan|اليابان|f|Tokyo|طوكيو|Asia|آسيا|Japanese|اليابانية|yen|الين
South Korea|كوريا الجنوبية|f|Seoul|سيول|Asia|آسيا|Korean|الكورية|won|الوون
Indonesia|إندونيسيا|f|Jakarta|جاكرتا|Asia|آسيا|Indonesian|الإندونيسية|-|-
Thailand|تايلاند|f|Bangkok|بانكوك|Asia|آسيا|Thai|التايلاندية|baht|البات
Vietnam|فيتنام|f|Hanoi|هانوي|Asia|آسيا|Vietnamese|الفيتنامية|dong|الدونغ
Kenya|كينيا|f|Nairobi|نيروبي|Africa|أفريقيا|Swahili|السواحيلية|shilling|الشلن
Nigeria|نيجيريا|f|Abuja|أبوجا|Africa|أفريقيا|English|الإنجليزية|naira|النايرا
Ethiopia|إثيوبيا|f|Addis Ababa|أديس أبابا|Africa|أفريقيا|Amharic|الأمهرية|birr|البر
Senegal|السنغال|f|Dakar|داكار|Africa|أفريقيا|-|-|franc|الفرنك
Ghana|غانا|f|Accra|أكرا|Africa|أفريقيا|English|الإنجليزية|-|-
Canada|كندا|f|Ottawa|أوتاوا|North America|أمريكا الشمالية|-|-|dollar|الدولار
Mexico|المكسيك|f|Mexico City|مدينة مكسيكو|North America|أمريكا الشمالية|Spanish|الإسبانية|peso|البيزو
Cuba|كوبا|f|Havana|هافانا|North America|أمريكا الشمالية|Spanish|الإسبانية|peso|البيزو
Brazil|البرازيل|f|Brasilia|برازيليا|South America|أمريكا الجنوبية|Portuguese|البرتغالية|-|-
Argentina|الأرجنتين|f|Buenos Aires|بوينس آيرس|South America|أمريكا الجنوبية|Spanish|الإسبانية|peso|البيزو
Chile|تشيلي|f|Santiago|سانتياغو|South America|أمريكا الجنوبية|Spanish|الإسبانية|peso|البيزو
Peru|بيرو|f|Lima|ليما|South America|أمريكا الجنوبية|Spanish|الإسبانية|sol|السول
Colombia|كولومبيا|f|Bogota|بوغوتا|South America|أمريكا الجنوبية|Spanish|الإسبانية|peso|البيزو
Australia|أستراليا|f|Canberra|كانبيرا|Oceania|أوقيانوسيا|English|الإنجليزية|dollar|الدولار
New Zealand|نيوزيلندا|f|Wellington|ويلينغتون|Oceania|أوقيانوسيا|English|الإنجليزية|dollar|الدولار
"""

# animal | arabic with article | gender | young | sound | home | food | legs
ANIMALS = """
cat|القطة|f|kitten|الهريرة|meowing|المواء|in the house|في البيت|fish|السمك|4
dog|الكلب|m|puppy|الجرو|barking|النباح|in the house|في البيت|meat|اللحم|4
horse|الحصان|m|foal|المهر|neighing|الصهيل|on the farm|في المزرعة|grass|العشب|4
cow|البقرة|f|calf|العجل|mooing|الخوار|on the farm|في المزرعة|grass|العشب|4
sheep|الخروف|m|lamb|الحمل|bleating|الثغاء|on the farm|في المزرعة|grass|العشب|4
goat|العنزة|f|kid|الجدي|-|-|on the farm|في المزرعة|leaves|أوراق الشجر|4
donkey|الحمار|m|-|-|braying|النهيق|on the farm|في المزرعة|grass|العشب|4
camel|الجمل|m|-|-|-|-|in the desert|في الصحراء|plants|النباتات|4
lion|الأسد|m|cub|الشبل|roaring|الزئير|on the plains|في السهول|meat|اللحم|4
wolf|الذئب|m|-|-|howling|العواء|in the forest|في الغابة|meat|اللحم|4
fox|الثعلب|m|-|-|-|-|in the forest|في الغابة|meat|اللحم|4
bear|الدب|m|-|-|-|-|in the forest|في الغابة|fish|السمك|4
rabbit|الأرنب|m|-|-|-|-|in the forest|في الغابة|carrots|الجزر|4
deer|الغزال|m|fawn|الخشف|-|-|on the plains|في السهول|grass|العشب|4
monkey|القرد|m|-|-|-|-|in the forest|في الغابة|bananas|الموز|4
elephant|الفيل|m|-|-|-|-|on the plains|في السهول|plants|النباتات|4
sparrow|العصفور|m|-|-|chirping|الزقزقة|in the forest|في الغابة|seeds|الحبوب|2
hen|الدجاجة|f|chick|الكتكوت|-|-|on the farm|في المزرعة|seeds|الحبوب|2
eagle|النسر|m|-|-|-|-|in the mountains|في الجبال|meat|اللحم|2
penguin|البطريق|m|-|-|-|-|on the ice|على الجليد|fish|السمك|2
frog|الضفدع|m|tadpole|الشرغوف|croaking|النقيق|-|-|insects|الحشرات|4
crocodile|التمساح|m|-|-|-|-|in the river|في النهر|meat|اللحم|4
snake|الثعبان|m|-|-|hissing|الفحيح|in the desert|في الصحراء|-|-|-
whale|الحوت|m|-|-|-|-|in the sea|في البحر|fish|السمك|-
dolphin|الدلفين|m|-|-|-|-|in the sea|في البحر|fish|السمك|-
bee|النحلة|f|-|-|buzzing|الطنين|in the garden|في الحديقة|nectar|الرحيق|6
ant|النملة|f|-|-|-|-|under the ground|تحت الأرض|seeds|الحبوب|6
butterfly|الفراشة|f|-|-|-|-|in the garden|في الحديقة|nectar|الرحيق|6
spider|العنكبوت|m|-|-|-|-|in the garden|في الحديقة|insects|الحشرات|8
"""

# profession | arabic with article | place of work | what he does (he is the subject in both languages) | tool
PROFESSIONS = """
teacher|المعلم|at the school|في المدرسة|teaches the students|يعلم الطلاب|the board|السبورة
doctor|الطبيب|at the hospital|في المستشفى|treats the sick|يعالج المرضى|-|-
farmer|المزارع|on the farm|في المزرعة|plants the fields|يزرع الحقول|the plough|المحراث
baker|الخباز|at the bakery|في المخبز|bakes the bread|يخبز الخبز|the oven|الفرن
cook|الطباخ|in the kitchen|في المطبخ|cooks the food|يطبخ الطعام|the pot|القدر
pilot|الطيار|at the airport|في المطار|flies the plane|يقود الطائرة|-|-
sailor|البحار|on the ship|على السفينة|sails the ship|يبحر بالسفينة|-|-
judge|القاضي|at the court|في المحكمة|judges the people|يحكم بين الناس|-|-
mechanic|الميكانيكي|in the workshop|في الورشة|fixes the cars|يصلح السيارات|-|-
waiter|النادل|at the restaurant|في المطعم|serves the guests|يخدم الضيوف|-|-
pharmacist|الصيدلي|at the pharmacy|في الصيدلية|sells the medicine|يبيع الدواء|-|-
scientist|العالم|in the laboratory|في المختبر|does experiments|يجري التجارب|the microscope|المجهر
actor|الممثل|at the theater|في المسرح|acts in plays|يمثل في المسرحيات|-|-
professor|الأستاذ|at the university|في الجامعة|gives lectures|يلقي المحاضرات|-|-
fisherman|الصياد|at the port|في الميناء|catches fish|يصيد السمك|the net|الشبكة
tailor|الخياط|-|-|sews the clothes|يخيط الملابس|the needle|الإبرة
barber|الحلاق|-|-|cuts hair|يقص الشعر|the scissors|المقص
carpenter|النجار|-|-|makes tables|يصنع الطاولات|the saw|المنشار
writer|الكاتب|-|-|writes stories|يكتب القصص|the pen|القلم
painter|الرسام|-|-|draws pictures|يرسم اللوحات|the brush|الفرشاة
photographer|المصور|-|-|takes photos|يلتقط الصور|the camera|الكاميرا
gardener|البستاني|in the garden|في الحديقة|waters the flowers|يسقي الأزهار|the shovel|المجرفة
builder|البناء|-|-|builds the houses|يبني البيوت|the hammer|المطرقة
"""

# word | opposite; both directions are asked
OPPOSITES = """
hot|حار|cold|بارد
big|كبير|small|صغير
long|طويل|short|قصير
fast|سريع|slow|بطيء
new|جديد|old|قديم
heavy|ثقيل|light|خفيف
strong|قوي|weak|ضعيف
rich|غني|poor|فقير
happy|سعيد|sad|حزين
clean|نظيف|dirty|متسخ
easy|سهل|difficult|صعب
near|قريب|far|بعيد
open|مفتوح|closed|مغلق
full|ممتلئ|empty|فارغ
wide|واسع|narrow|ضيق
high|مرتفع|low|منخفض
dry|جاف|wet|مبلل
smooth|ناعم|rough|خشن
deep|عميق|shallow|ضحل
early|مبكر|late|متأخر
true|صحيح|false|خاطئ
right|يمين|left|يسار
above|فوق|below|تحت
inside|داخل|outside|خارج
before|قبل|after|بعد
day|نهار|night|ليل
morning|صباح|evening|مساء
summer|صيف|winter|شتاء
war|حرب|peace|سلام
friend|صديق|enemy|عدو
beginning|بداية|end|نهاية
question|سؤال|answer|جواب
success|نجاح|failure|فشل
life|حياة|death|موت
north|شمال|south|جنوب
east|شرق|west|غرب
many|كثير|few|قليل
thick|سميك|thin|رقيق
sweet|حلو|bitter|مر
brave|شجاع|afraid|خائف
quiet|هادئ|loud|صاخب
dangerous|خطير|safe|آمن
possible|ممكن|impossible|مستحيل
present|حاضر|absent|غائب
lazy|كسول|active|نشيط
sunrise|شروق|sunset|غروب
entrance|مدخل|exit|مخرج
victory|نصر|defeat|هزيمة
"""

# of whom | who | is my ...; شقيق and والد keep one spelling in every case
FAMILY = """
father|والد|father|أبي|grandfather|جدي
mother|والدة|father|أبي|grandmother|جدتي
brother|شقيق|father|أبي|uncle|عمي
sister|شقيقة|father|أبي|aunt|عمتي
son|ابن|father|أبي|brother|أخي
daughter|ابنة|father|أبي|sister|أختي
father|والد|mother|أمي|grandfather|جدي
mother|والدة|mother|أمي|grandmother|جدتي
brother|شقيق|mother|أمي|uncle|خالي
sister|شقيقة|mother|أمي|aunt|خالتي
son|ابن|brother|أخي|nephew|ابن أخي
daughter|ابنة|brother|أخي|niece|ابنة أخي
son|ابن|sister|أختي|nephew|ابن أختي
daughter|ابنة|sister|أختي|niece|ابنة أختي
son|ابن|son|ابني|grandson|حفيدي
daughter|ابنة|son|ابني|granddaughter|حفيدتي
son|ابن|daughter|ابنتي|grandson|حفيدي
daughter|ابنة|daughter|ابنتي|granddaughter|حفيدتي
"""

# big unit, plural, arabic, plural, gender | small unit, plural, arabic, plural, gender | how many small ones in a big one
UNITS = """
minute|minutes|دقيقة|دقائق|f|second|seconds|ثانية|ثوان|f|60
hour|hours|ساعة|ساعات|f|minute|minutes|دقيقة|دقائق|f|60
day|days|يوم|أيام|m|hour|hours|ساعة|ساعات|f|24
week|weeks|أسبوع|أسابيع|m|day|days|يوم|أيام|m|7
year|years|سنة|سنوات|f|month|months|شهر|أشهر|m|12
century|centuries|قرن|قرون|m|year|years|سنة|سنوات|f|100
meter|meters|متر|أمتار|m|centimeter|centimeters|سنتيمتر|سنتيمترات|m|100
kilometer|kilometers|كيلومتر|كيلومترات|m|meter|meters|متر|أمتار|m|1000
kilogram|kilograms|كيلوغرام|كيلوغرامات|m|gram|grams|غرام|غرامات|m|1000
"""

# subject | arabic | gender | colour of COLOURS
COLOURED = """
snow|الثلج|m|white
milk|الحليب|m|white
salt|الملح|m|white
rice|الأرز|m|white
grass|العشب|m|green
the cucumber|الخيار|m|green
the leaf|ورقة الشجر|f|green
blood|الدم|m|red
the tomato|حبة الطماطم|f|red
the strawberry|حبة الفراولة|f|red
the sky|السماء|f|blue
the sea|البحر|m|blue
coal|الفحم|m|black
the crow|الغراب|m|black
the night sky|سماء الليل|f|black
the banana|الموزة|f|yellow
the lemon|الليمونة|f|yellow
the sun|الشمس|f|yellow
chocolate|الشوكولاتة|f|brown
wood|الخشب|m|brown
"""
COLOURS = """
white|أبيض|بيضاء
green|أخضر|خضراء
red|أحمر|حمراء
blue|أزرق|زرقاء
black|أسود|سوداء
yellow|أصفر|صفراء
brown|بني|بنية
"""

# product | arabic | gender | material with article
MATERIALS = """
bread|الخبز|m|flour|الدقيق
cheese|الجبن|m|milk|الحليب
butter|الزبدة|f|milk|الحليب
yogurt|اللبن|m|milk|الحليب
juice|العصير|m|fruit|الفاكهة
chocolate|الشوكولاتة|f|cocoa|الكاكاو
paper|الورق|m|wood|الخشب
the table|الطاولة|f|wood|الخشب
the chair|الكرسي|m|wood|الخشب
glass|الزجاج|m|sand|الرمل
the shoe|الحذاء|m|leather|الجلد
the belt|الحزام|m|leather|الجلد
the shirt|القميص|m|cotton|القطن
the coat|المعطف|m|wool|الصوف
the scarf|الوشاح|m|wool|الصوف
the ring|الخاتم|m|gold|الذهب
the window|النافذة|f|glass|الزجاج
the key|المفتاح|m|metal|المعدن
the candle|الشمعة|f|wax|الشمع
the bottle|القارورة|f|plastic|البلاستيك
the wall|الجدار|m|stone|الحجر
the tire|الإطار|m|rubber|المطاط
"""

# thing | arabic with article | kind | arabic predicate
KINDS = """
the apple|التفاحة|a fruit|فاكهة
the banana|الموزة|a fruit|فاكهة
the orange|البرتقالة|a fruit|فاكهة
the strawberry|الفراولة|a fruit|فاكهة
the carrot|الجزرة|a vegetable|نوع من الخضروات
the onion|البصلة|a vegetable|نوع من الخضروات
the potato|البطاطس|a vegetable|نوع من الخضروات
the eagle|النسر|a bird|طائر
the owl|البومة|a bird|طائر
the duck|البطة|a bird|طائر
the penguin|البطريق|a bird|طائر
the bee|النحلة|an insect|حشرة
the ant|النملة|an insect|حشرة
the butterfly|الفراشة|an insect|حشرة
the rose|الوردة|a flower|زهرة
the jasmine|الياسمين|a flower|زهرة
the hammer|المطرقة|a tool|أداة
the saw|المنشار|a tool|أداة
the shovel|المجرفة|a tool|أداة
the piano|البيانو|a musical instrument|آلة موسيقية
the guitar|الغيتار|a musical instrument|آلة موسيقية
the drum|الطبل|a musical instrument|آلة موسيقية
football|كرة القدم|a sport|رياضة
swimming|السباحة|a sport|رياضة
tennis|التنس|a sport|رياضة
gold|الذهب|a metal|معدن
iron|الحديد|a metal|معدن
silver|الفضة|a metal|معدن
the palm|النخلة|a tree|شجرة
the olive tree|الزيتونة|a tree|شجرة
the shirt|القميص|a piece of clothing|قطعة ملابس
the coat|المعطف|a piece of clothing|قطعة ملابس
the chair|الكرسي|a piece of furniture|قطعة أثاث
the bed|السرير|a piece of furniture|قطعة أثاث
tea|الشاي|a drink|مشروب
coffee|القهوة|a drink|مشروب
the lion|الأسد|a mammal|من الثدييات
the horse|الحصان|a mammal|من الثدييات
the tiger|النمر|a mammal|من الثدييات
"""

# what we do | arabic | with what | arabic with ب
BODY = """
see|نرى|our eyes|بالعينين
hear|نسمع|our ears|بالأذنين
smell|نشم|our nose|بالأنف
taste|نتذوق|our tongue|باللسان
walk|نمشي|our feet|بالقدمين
write|نكتب|our hand|باليد
think|نفكر|our brain|بالدماغ
chew|نمضغ|our teeth|بالأسنان
breathe|نتنفس|our lungs|بالرئتين
"""

# what for | arabic verbal noun | tool | arabic with article
TOOLS = """
cut paper|قص الورق|scissors|المقص
open the door|فتح الباب|a key|المفتاح
write a letter|كتابة رسالة|a pen|القلم
know the time|معرفة الوقت|a watch|الساعة
sweep the floor|كنس الأرض|a broom|المكنسة
sew clothes|خياطة الملابس|a needle|الإبرة
measure temperature|قياس الحرارة|a thermometer|مقياس الحرارة
draw a straight line|رسم خط مستقيم|a ruler|المسطرة
brush the teeth|تنظيف الأسنان|a toothbrush|فرشاة الأسنان
call a friend|مكالمة صديق|a phone|الهاتف
take photos|التقاط الصور|a camera|الكاميرا
cut bread|تقطيع الخبز|a knife|السكين
eat soup|تناول الحساء|a spoon|الملعقة
find the way|معرفة الطريق|a map|الخريطة
see the stars|رؤية النجوم|a telescope|المنظار
carry books|حمل الكتب|a bag|الحقيبة
cut wood|قطع الخشب|a saw|المنشار
light the room|إضاءة الغرفة|a lamp|المصباح
catch fish|صيد السمك|a net|الشبكة
dig the ground|حفر الأرض|a shovel|المجرفة
"""

# what we do | arabic | where | arabic place with its preposition
PLACES = """
buy medicine|نشتري الدواء|at the pharmacy|في الصيدلية
buy bread|نشتري الخبز|at the bakery|في المخبز
borrow books|نستعير الكتب|at the library|في المكتبة
watch plays|نشاهد المسرحيات|at the theater|في المسرح
see old things|نرى الأشياء القديمة|at the museum|في المتحف
take the plane|نركب الطائرة|at the airport|في المطار
take the train|نركب القطار|at the station|في المحطة
keep our money|نحفظ أموالنا|at the bank|في المصرف
send letters|نرسل الرسائل|at the post office|في مكتب البريد
learn to read|نتعلم القراءة|at school|في المدرسة
cook the food|نطبخ الطعام|in the kitchen|في المطبخ
sleep at night|ننام ليلًا|in the bedroom|في غرفة النوم
swim in summer|نسبح صيفًا|in the sea|في البحر
grow flowers|نزرع الأزهار|in the garden|في الحديقة
park the car|نوقف السيارة|in the garage|في المرأب
visit the sick|نزور المرضى|in the hospital|في المستشفى
see wild animals|نرى الحيوانات البرية|at the zoo|في حديقة الحيوان
sleep when we travel|ننام عند السفر|at the hotel|في الفندق
"""

# English values that may be true of the same thing: they are never offered against each other.
ALIKE = tuple(
    frozenset(line.split("|"))
    for line in """
grass|plants|leaves|carrots|bananas|seeds
meat|fish|insects
seeds|insects
in the house|on the farm|in the desert|on the plains|in the forest|in the mountains|in the garden|under the ground
in the river|in the sea
wood|metal|plastic|leather|cotton|wool|gold|stone|glass|rubber
glass|sand
at the school|at the university|in the laboratory
at the hospital|at the pharmacy|in the laboratory
on the farm|in the garden
at the bakery|in the kitchen|at the restaurant
on the ship|at the port
the cook|the baker|the waiter
the farmer|the gardener
the teacher|the professor
the doctor|the pharmacist|the scientist
the fisherman|the sailor
the painter|the photographer|the writer|the actor
the builder|the carpenter|the mechanic
the board|the pen|the brush
the scissors|the needle|the saw|the hammer
the shovel|the plough|the scissors|the hammer|the saw
the oven|the pot
the tree|the leaf
our nose|our lungs|our tongue
our tongue|our teeth
scissors|a knife|a saw
a phone|a watch
a phone|a camera
a phone|a map
a phone|a lamp
a phone|a thermometer
a phone|a pen
at the hotel|in the bedroom
at school|at the library|in the bedroom
in the garden|at the zoo
at the bakery|in the kitchen
English|Swahili|Hindi|Urdu
Ukrainian|Russian
French|Arabic
dinar|dirham
a fruit|a tree
a fruit|a vegetable
a flower|a tree
""".strip().splitlines()
)
