"""Where sentences end: in many languages, by hand; a wrong end is worse than a missing one."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s2s.text.sentences import split_sentences

ENDS = """
[en]
Hello there. |How are you? |I am fine!
One. |Two. |Three.
Dr. Smith met Mr. Jones at 5 p.m. on Monday. |They talked.
We met at 5 p.m. |It rained.
The U.S. army left. |Nobody cried.
He lives in the U.S. |She lives in Canada.
See e.g. the second chapter, i.e. the long one. |It helps.
Version 3.5 is out. |Version 10.2.1 follows.
It costs $3.50 in total. |That is cheap.
No. 5 is alive. |Number 6 is not.
Wait... what did you say?
I was thinking... |Never mind.
I don't know… maybe later.
What?! |Are you serious?! |Yes!!!
“Stop!” he said. |Then he left.
He said, “I am tired.” |Then he slept.
She asked "Why?" and left. |Nobody answered.
"Go away!" |The door closed.
(This is a note.) |Next sentence.
This is it (see p. 5 and Fig. 3). |Good.
J. R. R. Tolkien wrote it. |I read it.
Mail me at john.doe@example.com. |I will answer.
See https://example.com/a.b?c=d. |It is long.
Visit www.example.com/index.html now! |Thanks.
1. Open the door. |2. Close it.
Apples, pears, etc. are fruit. |Carrots are not.
The cat vs. the dog. |Who wins?
Is this Yahoo! mail or not? |I don't care.
Mt. Everest is high. |It is cold.
Mrs. Brown, Ms. Green and Prof. White came. |St. Paul's is near.
He has a Ph.D. in physics. |She has none.
It was in Jan. 2020. |Then Feb. came.
Let's meet at 10:30 a.m. tomorrow. |Fine?
Inc. and Ltd. are short. |Acme Inc. was sold.
A man in a red shirt is standing in front of a store. |Two dogs run.
the first one. |the second one is small. |the third.
Hello! |Who is there?
Plan B. |Not plan A.
It was me and I. |So what?
Call me at 555.1234. |Thanks.
file.txt and setup.py are there. |Open them.
Is it 5? |6 is more. |7 even more.
Hello.World is a file
No. |I will not.
Good morning, Mr. President. |Welcome.
She works at the F.B.I. building.
Acme Corp. announced it on Oct. 5. |Shares fell.
"I am." |"You are not."
He said: "Hello. |I am here." |Then he went.
She scored 9.5 out of 10. |Impressive!
My e-mail is j.smith@mail.co.uk. |Write soon.
"Is that you, Tom?" asked Mary. |"Yes, it's me," he said.
Approx. 50 people came. |All were happy.
Washington, D.C. is the capital. |New York isn't.
Oh no! |Not again!!
The file is called README.md. |Please read it.
He moved to the U.K. in 2010. |He never returned.
I have a dog, a cat, etc. |They all live with me.
Turn left at 5th Ave. and walk. |You'll see it.
Yes. |No. |Maybe.
It's 20 °C today. |Yesterday was 15 °C.
The co. went bankrupt. |Sad.
Then came WW II. |Everything changed.
“I’ll go.” |“Me too.”
Who is J. K. Rowling? |She's an author.
[de]
Prof. Dr. med. Hans Meier kam. |Er ging.
Das ist gut. |Das auch. |Und das?
Er kam am 1. Januar 2020 an. |Es schneite.
Am 3. und 4. Mai ist geschlossen. |Danke.
Das ist z. B. ein Hund. |Das nicht.
Das ist z.B. ein Hund, d. h. ein Tier. |Gut.
Dr. Müller und Prof. Dr. Schmidt kamen. |Sie blieben.
Siehe Nr. 5 und S. 12 ff. im Buch. |Danke.
Er sagte: „Ich komme.“ |Dann ging er.
„Halt!“, rief er. |Niemand hörte ihn.
„Kommst du?“ fragte sie. |Er schwieg.
Das kostet 3,50 Euro. |Das sind ca. 4 Dollar.
Im 19. Jahrhundert war das so. |Heute nicht.
Kaiser Wilhelm II. war dort. |Er ging bald.
Äpfel, Birnen usw. sind Obst. |Karotten nicht.
Die Hauptstr. 5 ist dort. |Geh hin!
Ein Mann mit einem Hut. |Ändert das etwas?
Das Treffen ist um 10.30 Uhr. |Komm bitte.
Mit freundlichen Grüßen i. A. Meier
Es sind 5 bzw. 6 Leute. |Mehr nicht.
Was?! |Wirklich?
»Ja.« |»Nein.«
Zwei Hunde rennen... |Einer bellt.
Hr. Meier u. a. waren da. |Fr. Huber nicht.
Herr Ober! |Die Rechnung, bitte.
Sie ist 18. |Er ist 20.
Am 24. Dezember feiern wir. |Kommst du auch?
Das Buch (2. Aufl.) ist gut. |Ich mag es.
Er wohnt in der Goethestr. 12. |Das ist nah.
Es war 8.15 Uhr. |Der Zug kam.
Die Fa. Meyer GmbH liefert. |Wir zahlen.
Sie fragte: „Wer bist du?“ |Er antwortete nicht.
Max u. Moritz waren frech. |Lehrer Lämpel nicht.
Ich heiße Max. |Ich bin 12 Jahre alt. |Ich wohne in Köln.
[fr]
Rendez-vous au 5 av. Foch. |Merci.
Bonjour. |Comment ça va ? |Bien !
M. Dupont et Mme. Durand sont là. |Ils parlent.
« Venez ! » dit-il. |Puis il partit.
Il a dit : « Je viens. » |Puis il est parti.
Voir p. 5 et art. 3 du code. |Merci.
Il est né le 1er mai. |Il est mort.
C'est beau… |Non ?
J.-P. Martin est venu. |Il a ri.
Des pommes, des poires, etc. |Voilà.
Le prix est de 3,5 €. |C'est cher.
« Oui. » |« Non. »
[es]
¿Qué tal? |¡Muy bien! |Gracias.
El Sr. López y la Sra. García llegaron. |Se fueron.
Llegó a EE. UU. en mayo. |Se quedó.
¿Dónde está el Dr. Pérez? |No lo sé. |¡Qué pena!
[it]
Ciao. |Come stai? |Il sig. Rossi è qui.
Il dott. Bianchi è qui. |Che bello!
[ko]
"어디 가?" 그가 물었다. |"집에." |그녀가 말했다. |나는 "안녕."이라고 말했다. |끝.
안녕하세요. |잘 지내요? |네!
저는 학생입니다. |어디 가십니까? |집에 갑니다.
값은 3.5만 원입니다. |비쌉니다.
2020. 5. 3. 에 만났습니다. |좋았습니다.
그는 "안녕."이라고 말했다. |그리고 떠났다.
“어디 가요?”라고 물었다. |나는 웃었다.
그는 말했다. |“가자.” |우리는 갔다.
글쎄요... |모르겠어요.
정말요?! |네, 정말요!
자세한 것은 www.example.com을 보세요. |감사합니다.
10.5%가 올랐다. |더 오를까?
어디 사세요? |서울에 살아요. |날씨가 좋네요!
김 박사는 “비가 온다.”고 했다. |우산을 챙겼다.
전화번호는 02.123.4567입니다. |전화 주세요.
"뭐라고?" 그가 물었다. |나는 대답하지 않았다.
1. 문을 여세요. |2. 앉으세요.
오늘은 3월 1일이다. |휴일이다.
[ja]
散歩に行きましょう!|「どこへ行くの?」と彼は聞いた。
こんにちは。|お元気ですか？|はい！
彼は「はい。」と言った。|次です。
本当ですか？！|はい。
（これは注です。）|本文です。
バージョン3.5です。|次は4.0です。
価格は３．５万円です。|高い。
「はい」と答えた。|終わり。
今日は晴れ。|明日は雨。
『本を読む。』|そう言った。
モーニング娘。のファンです。
すみません。|駅はどこですか。|ありがとうございます！
「えっ！？」と驚いた。|でも大丈夫。
彼は「行く」と言った。|「本当？」と聞いた。
Ｅメールはa@b.jpです。|返信してください。
すごい！！|本当に？
[zh]
他问。|“回家。”|她说。|“好。”
“你去哪儿？”|“回家。”|她说。
你好。|你好吗？|我很好！
他说：“我来了。”|然后他走了。
“走吧！”他说。|我们走了。
真的吗？！|是的。
版本3.5发布了。|很好。
（见第5页。）|下一句。
你好.|我是学生.
价格是3.50元。|便宜；真的。
对不起。|车站在哪里？|谢谢！
今天气温是23.5度。|明天更冷。
《你好吗？》是一部电影。|我喜欢。
[ru]
Привет. |Как дела? |Хорошо!
Он родился в 1990 г. в Москве. |Потом уехал.
Это т. е. так. |Да.
Это стоит 5 руб. за кг. |Дорого!
[ar]
مرحبا. |كيف حالك؟ |بخير.
[hi]
नमस्ते। |आप कैसे हैं? |ठीक हूँ।
[el]
Γεια σου. |Τι κάνεις; |Καλά.
[th]
สวัสดีครับ คุณสบายดีไหม
[am]
ሰላም። |እንዴት ነህ? |ደህና።
[ur]
یہ ہے۔ |کیا ہے؟ |ہاں۔
[english]
One. |Two. |Three!
[ko_KR]
하나. |둘. |셋.
[x y z]
Eins. |Zwei.
[pt]
O Sr. Silva chegou. |Ele está cansado.
[nl]
Dhr. Jansen is er niet. |Hij is ziek.
[pl]
To jest np. pies. |To nie.
"""
"""Texts of languages in brackets, with a bar where another sentence begins."""
LEFT_TOGETHER = """
[en]
We sell books, pens, etc. |Come in.
I like it :) |Do you?
In 1990. |2000 was later.
The meeting is at 3 p.m. in Room B. |Bring your laptop.
iPhones are popular. |iPads are too.
[ja]
「行こう！」|彼女は走った。
そうですね……|わかりません。
[zh]
我不知道……|也许吧。
她问：“你是谁？”|他没有回答。
[German]
Das ist Nr. 5. |Gut.
[de]
Vgl. dazu Kap. 3 und Abb. 4. |Mehr dort.
[fr]
Où est M. Leblanc ? |Il est parti à 8 h. |Dommage !
"""
"""Texts with ends that the rules do not find, and none that is wrong."""


def texts(table: str) -> list[tuple[str, list[str]]]:
    found, language = [], ""
    for line in table.strip().split("\n"):
        if line.startswith("[") and line.endswith("]"):
            language = line[1:-1]
        else:
            found.append((language, line.split("|")))
    return found


@pytest.mark.parametrize(("language", "sentences"), texts(ENDS))
def test_sentences_end_where_readers_end_them(language: str, sentences: list[str]) -> None:
    assert split_sentences("".join(sentences), language) == sentences


@pytest.mark.parametrize(("language", "sentences"), texts(LEFT_TOGETHER))
def test_in_doubt_two_sentences_stay_together(language: str, sentences: list[str]) -> None:
    found = split_sentences("".join(sentences), language)
    assert set(accumulate(map(len, found))) <= set(accumulate(map(len, sentences)))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n  ", "\t", "\u2028", " \n\t"])
def test_a_line_end_is_one_of_a_sentence_unless_it_is_said_not_to_be(end: str) -> None:
    assert split_sentences(f"one{end}two", "en") == ["one" + end, "two"]
    together = [f"one{end}two"] if end != "\n\n  " else ["one" + end, "two"]
    assert split_sentences(f"one{end}two", "en", newlines=False) == together


TEXT = st.text("aBé5.!?…。！？「」“”\"'()»„ \n\r\t\u2028\u00a0[1]요라고のDr가", max_size=40)


@given(TEXT, st.sampled_from(["en", "de", "fr", "ko", "ja", "zh", "el", "english", ""]), st.booleans())
def test_sentences_joined_are_the_text(text: str, language: str, newlines: bool) -> None:
    found = split_sentences(text, language, newlines=newlines)
    assert "".join(found) == text
    assert all(found)


PLAIN = {
    "en": ["The dog runs.", "Is it cold?", "Come here!"],
    "de": ["Der Hund läuft.", "Ist es kalt?", "Komm her!"],
    "fr": ["Le chien court.", "Fait-il froid ?", "Viens ici !"],
    "ko": ["개가 달립니다.", "추워요?", "여기 오세요!"],
    "zh": ["狗在跑。", "冷吗？", "过来！"],
    "ja": ["犬が走る。", "寒いですか？", "来て！"],
    "ru": ["Собака бежит.", "Холодно?", "Иди сюда!"],
    "hi": ["कुत्ता दौड़ता है।", "ठंड है?", "यहाँ आओ!"],
}


@given(st.data(), st.sampled_from(sorted(PLAIN)), st.booleans())
def test_plain_sentences_are_found_in_any_order(data: st.DataObject, language: str, named: bool) -> None:
    blank = "" if language in ("zh", "ja") else data.draw(st.sampled_from([" ", "  ", "\n", " \r\n"]))
    chosen = data.draw(st.lists(st.sampled_from(PLAIN[language]), min_size=1, max_size=5))
    found = split_sentences(blank.join(chosen), language if named else "")
    assert [each.strip() for each in found] == chosen
