//! Who writes what to whom: the people and the texts of the invented mail. All domains end in `.example`, which
//! nobody can own.

use super::compose::{Attachment, Body, Charset, Letter, Person};
use super::dice::Dice;

/// The language in which somebody's mail is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Italian,
    English,
    German,
    Japanese,
}

const fn person(name: &'static str, address: &'static str) -> Person {
    Person { name, address }
}

const ITALIANS: &[Person] = &[
    person("Giulia Conti", "giulia.conti@ceramiche-adriatica.example"),
    person("Nicolò Sartori", "n.sartori@idraulica-sartori.example"),
    person(
        "Ufficio Tecnico - Comune di Valdoro",
        "ufficio.tecnico@comune-valdoro.example",
    ),
    person("Élodie Martin", "elodie@atelier-lumiere.example"),
    person("Rossi, Paolo (Legnami)", "paolo@legnami-rossi.example"),
    person("", "noreply@banca-valdoro.example"),
];

const ENGLISH: &[Person] = &[
    person("Piet van Dijk", "piet@rotterdam-terminals.example"),
    person("Siobhán O'Brien", "siobhan@cork-cold-storage.example"),
    person("Zoë Novák", "zoe.novak@baltic-lines.example"),
    person("Tom Hargreaves", "tom@hargreaves-haulage.example"),
    person("Customs Desk", "desk@felixmouth-customs.example"),
];

const GERMANS: &[Person] = &[
    person(
        "Kaiser & Söhne Spedition",
        "disposition@kaiser-soehne.example",
    ),
    person("Jürgen Müller", "j.mueller@hafen-nord.example"),
    person("Käthe Groß", "k.gross@zollbuero-elbe.example"),
];

const JAPANESE: &[Person] = &[
    person("佐藤 健", "sato@osaka-koun.example"),
    person("鈴木 美咲", "misaki.suzuki@kobe-soko.example"),
];

/// Subjects and texts; `#` stands for a large number, `%` for a digit.
type Text = (&'static str, &'static str);

const ITALIAN_TEXTS: &[Text] = &[
    (
        "Sopralluogo in via Garibaldi #",
        "confermo il sopralluogo di giovedì alle 9:30 in via Garibaldi #.\nPorto le chiavi del cancello; per il piano interrato serve una torcia.",
    ),
    (
        "Fattura n. #/2026",
        "in allegato la fattura n. #/2026 relativa alla fornitura di ottobre.\nIl pagamento è a 30 giorni data fattura, come d'accordo.",
    ),
    (
        "Piastrelle: campioni lotto #",
        "i campioni del lotto # sono pronti. Il grigio è più caldo di quello a catalogo,\nperciò conviene vederli alla luce naturale prima di decidere.",
    ),
    (
        "Pratica edilizia # - integrazione documenti",
        "con riferimento alla pratica #, si chiede di integrare la planimetria quotata\ne la relazione tecnica firmata entro quindici giorni.",
    ),
    (
        "Ritardo nella consegna degli infissi",
        "purtroppo gli infissi arriveranno con % giorni di ritardo.\nPossiamo montare prima quelli del piano terra, così il cantiere non si ferma.",
    ),
    (
        "Riunione di martedì",
        "la riunione di martedì è spostata alle 15:%0 in sala grande.\nAll'ordine del giorno: tempi, varianti e città da visitare a dicembre.",
    ),
    (
        "Computo metrico aggiornato",
        "ho aggiornato il computo metrico: il totale sale di # euro per le opere in ferro.\nFammi sapere se lo giro subito al cliente.",
    ),
    (
        "Foto del cantiere",
        "ecco una foto di ieri. La soletta è asciutta,\nmancano % metri di battiscopa e la porta del ripostiglio.",
    ),
    (
        "Chiusura natalizia",
        "lo studio resterà chiuso per le festività per % giorni.\nPer le urgenze c'è la casella info.",
    ),
    (
        "Perché la caldaia perde?",
        "il tecnico è passato: la guarnizione è da cambiare, è una cosa da %0 euro.\nDa domani l'acqua calda torna.",
    ),
];

const ENGLISH_TEXTS: &[Text] = &[
    (
        "Container MSKU #: gate-out delayed",
        "container MSKU # is still on hold at the terminal.\nFrom Monday on the gate opens at six, so we could try the first slot.",
    ),
    (
        "Quote for reefer storage, ref #",
        "please find our quote for # pallet places at minus eighteen.\nIt is valid until the end of the month.",
    ),
    (
        "Invoice #",
        "attached is invoice # for last month's movements.\nLet us know if the purchase order number has to be changed.",
    ),
    (
        "Customs entry #: missing document",
        "entry # lacks the certificate of origin.\nWithout it we cannot release the goods; a scan will do for now.",
    ),
    (
        "Re-routing via Antwerp?",
        "the strike may last % days.\nShould we re-route via Antwerp or wait? I need to tell the carrier by noon.",
    ),
    (
        "Minutes of the Thursday call",
        "the minutes are below.\n> quay allocation: % berths agreed\n> winter schedule: open\nShout if I got anything wrong.",
    ),
    (
        "Damage report, bay %",
        "one pallet was dented in bay %; a photo is attached.\nNothing is lost, but the customer should hear it from us.",
    ),
    (
        "Lunch on Friday?",
        "are you around on Friday? The new place on the quay does a fish pie for 1% pounds.\nHalf past twelve would suit me.",
    ),
    (
        "Winter tyres for the vans",
        "the garage can take the vans in week 4%.\nFrom there they go straight back on the road.",
    ),
    (
        "Holiday rota",
        "the rota for December is on the board.\nPlease check it: % people want the same Friday.",
    ),
];

const GERMAN_TEXTS: &[Text] = &[
    (
        "Rückfrage zu Auftrag #",
        "zu Auftrag # fehlt uns noch die Größe der Kisten.\nBitte bis morgen früh, sonst fährt der Lkw ohne.",
    ),
    (
        "Zollunterlagen für Sendung #",
        "die Unterlagen für Sendung # sind vollständig.\nDie Abfertigung müsste übermorgen möglich sein.",
    ),
    (
        "Anlieferung am Freitag",
        "wir liefern am Freitag zwischen 7 und 9 Uhr, % Paletten.\nGrüße aus dem Büro an der Elbe",
    ),
    (
        "Änderung der Öffnungszeiten",
        "ab dem %. gelten die Winterzeiten: Annahmeschluss ist künftig um 16 Uhr.",
    ),
];

const JAPANESE_TEXTS: &[Text] = &[
    (
        "コンテナ # の到着予定",
        "コンテナ # は金曜日の午前に神戸港へ到着する予定です。\n通関書類は本日中にお送りします。",
    ),
    (
        "お見積り(No. #)",
        "ご依頼の件、見積番号 # にてお送りします。\nご検討のほど、よろしくお願いいたします。",
    ),
    (
        "倉庫の空き状況について",
        "来月は # パレット分の空きがございます。\nお早めにご連絡ください。",
    ),
];

/// The same letter as an old mail program writes it, in ISO-2022-JP.
const OLD_JAPANESE: (&str, &[u8]) = (
    "=?ISO-2022-JP?B?GyRCMnE1RCRONUQ7dk8/JEskRCQkJEYbKEI=?=",
    b"\x1b$BEDCfMM\x1b(B\n\n\x1b$B$*@$OC$K$J$C$F$*$j$^$9!#\x1b(B\n\x1b$B@hF|$N2q5D$N5D;vO?$r$*Aw$j$7$^$9!#\x1b(B\n\
      \x1b$B$43NG'$N$[$I!\"$h$m$7$/$*4j$$$$$?$7$^$9!#\x1b(B\n\n\x1b$B:4F#\x1b(B \x1b$B7r\x1b(B\n",
);

/// A letter from outside to `to`, in that language.
pub(super) fn incoming(language: Language, to: Person, dice: &mut Dice) -> Letter {
    let (people, texts) = match language {
        Language::Italian => (ITALIANS, ITALIAN_TEXTS),
        Language::English => (ENGLISH, ENGLISH_TEXTS),
        Language::German => (GERMANS, GERMAN_TEXTS),
        Language::Japanese => (JAPANESE, JAPANESE_TEXTS),
    };
    let from = dice.pick(people);
    if language == Language::Japanese && dice.chance(25) {
        let (subject, text) = OLD_JAPANESE;
        return Letter {
            body: Body::Japanese { subject, text },
            ..plain(language, from, to, "", "")
        };
    }
    let (number, digit) = (
        dice.between(100, 980).to_string(),
        dice.between(2, 6).to_string(),
    );
    let fill = |text: &str| text.replace('#', &number).replace('%', &digit);
    let (subject, text) = dice.pick(texts);
    let subject = fill(subject);
    let text = format!(
        "{},\n\n{}\n\n{}\n{}\n",
        greeting(language),
        fill(text),
        closing(language, dice),
        if from.name.is_empty() {
            from.address
        } else {
            from.name
        },
    );
    let attachment = attachment(&subject, &number, dice);
    let charset = match language {
        Language::Japanese => Charset::Utf8,
        _ => dice.pick(&[Charset::Utf8, Charset::Utf8Quoted, Charset::Latin1]),
    };
    Letter {
        charset,
        attachment,
        ..plain(language, from, to, &subject, &text)
    }
}

fn plain(language: Language, from: Person, to: Person, subject: &str, text: &str) -> Letter {
    Letter {
        language,
        from,
        to,
        subject: subject.to_owned(),
        charset: Charset::Utf8,
        body: Body::Text(text.to_owned()),
        thread: Vec::new(),
        attachment: None,
    }
}

fn attachment(subject: &str, number: &str, dice: &mut Dice) -> Option<Attachment> {
    let says = |words: &[&str]| words.iter().any(|word| subject.contains(word));
    if says(&["Fattura", "Invoice", "Quote", "Zollunterlagen"]) {
        return Some(Attachment::Pdf {
            name: format!("{number}.pdf"),
            line: subject.to_owned(),
        });
    }
    says(&["Foto", "Damage"]).then(|| Attachment::Png {
        name: format!("IMG_{number}.png"),
        size: dice.between(24, 96),
    })
}

fn greeting(language: Language) -> &'static str {
    match language {
        Language::Italian => "Buongiorno",
        Language::English => "Hello",
        Language::German => "Guten Tag",
        Language::Japanese => "お世話になっております",
    }
}

fn closing(language: Language, dice: &mut Dice) -> &'static str {
    match language {
        Language::Italian => {
            dice.pick(&["Cordiali saluti", "Un saluto e a presto", "Grazie mille"])
        }
        Language::English => dice.pick(&["Kind regards", "Best wishes", "Cheers"]),
        Language::German => dice.pick(&["Mit freundlichen Grüßen", "Viele Grüße"]),
        Language::Japanese => "よろしくお願いいたします。",
    }
}

/// The answer to a letter, by whom it was written to.
pub(super) fn answer(to: &Letter, id: &str, dice: &mut Dice) -> Letter {
    let language = to.language;
    let text = match language {
        Language::Italian => dice.pick(&[
            "va benissimo, grazie.",
            "ricevuto, rispondo entro domani.",
            "perfetto, così è più chiaro.",
        ]),
        Language::English => dice.pick(&[
            "thanks, that works for me.",
            "noted, will do.",
            "let me check and come back to you.",
        ]),
        Language::German => dice.pick(&["danke, das passt so.", "gerne, wir kümmern uns darum."]),
        Language::Japanese => dice.pick(&["承知いたしました。", "ご連絡ありがとうございます。"]),
    };
    let mut quoted = String::new();
    if let Body::Text(original) = &to.body {
        for line in original.lines() {
            quoted.push_str(if line.starts_with('>') { ">" } else { "> " });
            quoted.push_str(line);
            quoted.push('\n');
        }
    }
    let subject = match &to.body {
        Body::Japanese { .. } => "Re: 会議の議事録について".to_owned(),
        _ if to.subject.starts_with("Re: ") => to.subject.clone(),
        _ => format!("Re: {}", to.subject),
    };
    let text = format!(
        "{}, {text}\n\n{}\n\n{quoted}",
        greeting(language),
        to.to.name
    );
    let mut thread = to.thread.clone();
    thread.push(id.to_owned());
    Letter {
        thread,
        ..plain(to.language, to.to, to.from, &subject, &text)
    }
}

/// A newsletter, whose issues are numbered.
pub(super) fn newsletter(language: Language, to: Person, issue: u32) -> Letter {
    let (from, list, subject, lines): (_, _, _, &[&str]) = match language {
        Language::Italian => (
            person("Architettura & Città", "news@architettura-citta.example"),
            "settimanale.architettura-citta.example",
            format!(
                "Architettura & Città n. {issue}: case di legno, tetti verdi e un po' di storia"
            ),
            &[
                "Una scuola di legno in montagna",
                "Tetti verdi: quanto costano davvero",
                "Il quartiere che non c'è più",
            ],
        ),
        _ => (
            person("The Quayside Weekly", "hello@quayside-weekly.example"),
            "weekly.quayside-weekly.example",
            format!("Quayside Weekly {issue} – berths, boxes & a café with a view"),
            &[
                "Why empty boxes cost more than full ones",
                "From sail to steam: a short history",
                "Café of the week",
            ],
        ),
    };
    let text: String = lines.iter().map(|line| format!("* {line}\n")).collect();
    let items: String = lines
        .iter()
        .map(|line| format!("<li><a href=\"https://{list}/{issue}\">{line}</a></li>\n"))
        .collect();
    let html = format!(
        "<!DOCTYPE html>\n<html><body>\n<h1>{}</h1>\n<ul>\n{items}</ul>\n\
         <img src=\"https://{list}/pixel.gif\" width=\"1\" height=\"1\" alt=\"\">\n</body></html>\n",
        subject.replace('&', "&amp;")
    );
    Letter {
        charset: Charset::Utf8Quoted,
        body: Body::Newsletter { text, html, list },
        ..plain(language, from, to, &subject, "")
    }
}

/// The letter that somebody deletes and will miss.
pub(super) fn missed(to: Person) -> Letter {
    let subject = format!("{MISSED} via Mazzini 12");
    let text = "Gentile Chiara,\n\nin allegato il preventivo definitivo per la ristrutturazione di via Mazzini 12,\n\
                con le finiture che abbiamo scelto insieme. È valido fino a fine anno.\n\n\
                Cordiali saluti\nGiulia Conti\nCeramiche Adriatica\n";
    let attachment = Some(Attachment::Pdf {
        name: "Preventivo-via-Mazzini-12.pdf".to_owned(),
        line: "Preventivo via Mazzini 12: EUR 18.450,00".to_owned(),
    });
    Letter {
        attachment,
        ..plain(
            Language::Italian,
            person("Giulia Conti", "giulia.conti@ceramiche-adriatica.example"),
            to,
            &subject,
            text,
        )
    }
}

/// How the subject of the missed letter begins.
pub(super) const MISSED: &str = "Preventivo ristrutturazione";
