"""Twenty documents on which translation tools break, written for hala: `NASTY[name]` is the text.

Each holds what one class of documents holds in real instruction data: code in all its dresses, data, formulas, markup,
placeholders, odd whitespace. What a tool may send to a translator of each is in tests/data/test_nasty.py.
"""

from __future__ import annotations

NASTY: dict[str, str] = {
    "pretty json": """Read the settings below and say what is wrong with them.

{
  "name": "weather station",
  "interval": 30,
  "sensors": [
    {"id": "t1", "unit": "celsius"},
    {"id": "h1", "unit": "percent"}
  ],
  "note": "Do not translate me."
}

The answer was: {
  "error": "interval is too short",
  "limit": 60
}
Now mend the settings.
""",
    "tilde fence": """Here is how a fence shows another fence:

~~~markdown
```python
print("inside, not a fence of its own")
```
This sentence is part of the example.
~~~

After the tildes the text goes on.
""",
    "indented code": """Save this as a file and run it:

    import sys

    # say hello to everybody
    for name in sys.argv[1:]:
        print("Hello,", name)

My teacher used to repeat this to all of us:

    Whoever writes a program writes a letter to the next reader.

\tx = 1  # a tab makes code too
""",
    "four backticks": """Write the readme like this:

````markdown
# Title

```bash
make install
```

Some words about the tool.
````

Then show it to a colleague.
""",
    "open fence": """First install the package.

```bash
pip install harbour

It should end without an error, and the new command is then on your path.

- If it fails, read the log.
- If it works, go on.
""",
    "fence in a list": """1. Clone the repository:
   ```bash
   git clone https://example.org/harbour.git
   ```
2. Draw the plan:

   ```mermaid
   graph TD; A-->B;
   ```

   The picture appears below the text.
    ```text
    a fence with one space too many
    ```
3. Send it to your team.
""",
    "formulas": r"""The sum of the angles is $\alpha + \beta + \gamma = 180^\circ$ in every triangle.

\begin{align*}
  a^2 + b^2 &= c^2 \\
  c &= \sqrt{a^2 + b^2} \quad \text{for right angles}
\end{align*}

With \(n \ge 3\) sides, we get
$$
S = (n - 2) \cdot 180^\circ
$$
A ticket costs $5 and a day pass costs $12, so the pass pays off after $\frac{12}{5}$ rides.
""",
    "open formulas": r"""The solution begins with a bracket that is never closed:

\[
x = \frac{-b \pm \sqrt{b^2 - 4ac}}{2a}

From this formula we read the two roots.
It costs $$ to ask an expert, and \( x is left open here.

\begin{cases}
x > 0 \\
x < 1

Both conditions hold at the same time.
""",
    "lists set in": """Things to pack for the trip:

    - a warm coat and good shoes
    - bread for two days
    - a map of the old town

* Fruit of the season
    * apples from the garden
        * green ones first
    * pears from the market

      A pear needs a second paragraph.

          pear --ripe --peel
* Bread
""",
    "table": """Compare the two commands:

| Command | What it does | Option |
|:--------|:------------:|-------:|
| `cat a | wc -l` | counts the lines of a file | `-l` |
| `grep -c 'a\\|b'` | counts lines with either letter \\| or both | see [manual](https://example.org/grep) |
| 42 | | A |

Name | Meaning
--- | ---
`x` | the first number
""",
    "quotes": """> The captain wrote to the harbour master that the
> ship would be late, because the wind had turned and
> the crew was tired.
>
> > Then wait for the tide.
> > - first answer of the master
> >
> > ```
> > tide --wait
> > ```
>
> Signed by both.

And so they waited.
""",
    "html": """<div class="note" title="Not for readers">
  <p>Keep the <b>left</b> lane, and <a href="https://example.org/rules?lane=left">read the rules</a>.</p>
  <img src="map.png" alt="map" />
</div>

<!-- a comment
of two lines -->

<script>
const word = "hello";

console.log(word);
</script>

Press <kbd>Ctrl</kbd> + <kbd>C</kbd> to stop &amp; leave.<br/>Then close the window.

<ul>
<li>First choice of the guests</li>
<li data-id="7"
    class="late">Second choice</li>
</ul>
""",
    "tool calls": """You may call one function. Its description is in JSON.
<tools>
{"type": "function", "function": {"name": "get_weather", "description": "Tells the weather of a city.",
 "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Paris", "Cairo"]}}}}}
</tools>
What is the weather in Cairo?
<tool_call>
{"name": "get_weather", "arguments": {"city": "Cairo"}}
</tool_call>
<tool_response>{"sky": "clear", "degrees": 31}</tool_response>
It is clear and warm.
""",
    "placeholders": """Dear {customer_name}, your order {{ order.id }} of %d items (%s) is ready.
Dear [CUSTOMER NAME], write to help@example.org or visit https://example.org/a_(b)?q={query}#top.
Set ${HOME}, $PATH and --dry-run, then open ~/notes/today.md or C:\\Users\\me\\notes.txt.
Replace <placeholder> by your word; {0} and {1:>8} stay; so does my_function() in utils.py.
Fill in the blank: the sun rises in the ____. 256{{n}}256 ⟦7⟧ @someone 😀👍🏽
""",
    "choices": """Which of these cities lies on a river?

A. Cairo
B. Mecca
C) Riyadh
(D) None of these cities

Answer: A

The correct answer is (A), because option A names a city on the Nile.
""",
    "windows": "\ufeff# Title of the file\r\n\r\nFirst line of the text.\r\nSecond line.\t \r\n\r\n```\r\ncode here\r\n```\r\n"
    "\r\n* item one\r\n  wrapped\r\n\r\n\r\n    four spaces = code;\r\n\u00a0No-break space before this.\r\n",
    "marks and separators": "\u200fمرحبا بكم في المدينة.\n\u200e- An item after a mark of direction\n\u200f```\nkept = 1\n```\n"
    "One line\u2028with a line separator inside.\nA tab\x0band a form\x0cfeed.\n\u2067Isolated words\u2069 and zero\u200dwidth"
    " joiners.\rA line after a lone return.\n",
    "bare code": """Write a function that counts words, and say how it works.

def count_words(text):
    \"\"\"Counts the words of a text.

    Empty strings do not count as words here.
    \"\"\"
    words = text.split()
    for word in words:
        print(word)  # one on each line
    return len(words)

# try it
print(count_words("one two"))

The function splits the text at spaces, and then it returns the length of the list.

$ pip install harbour
SELECT name FROM users
WHERE age BETWEEN 10 AND 50;
""",
    "data lines": """Each line is a record of its own:
{"prompt": "Say hello", "answer": "Hello there"}
{"prompt": "Say goodbye", "answer": "See you soon"}
["red", "green", "blue"]
{'python': 'is not json', 'but': 'looks alike'}
{
  "broken": "a comma too many",
}
End of the records, which must come back as they were.
""",
    "front matter": """---
title: A page of the handbook
tags: [one, two]
---
Welcome to the handbook
=======================

See the [guide][g] and ![a small picture](images/small.png "Title of it").[^1]

[g]: https://example.org/guide "The guide"
[^1]: The footnote has words of its own.

Second heading
--------------

***

A line with a hard break at its end, for the poem is set like this\x20\x20
and goes on here. Visit <https://example.org/x> now.

```
```
""",
}
