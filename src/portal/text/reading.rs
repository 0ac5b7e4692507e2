//! Choosing a date, reading, searching, taking away.

use super::texts;

texts! {
    /// Of the pages that show mail.
    Reading {
        mailboxes: "Mailboxes", "Caselle";
        calendar: "Backups of {}", "Backup di {}";
        no_dates: "There are no backups of this mailbox yet.", "Non ci sono ancora backup di questa casella.";
        latest: "Latest backup", "Ultimo backup";
        taken: "Taken {}", "Eseguito {}";
        kept_until: "kept to the end of {}", "conservato fino alla fine di {}";
        until: "until {}", "fino al {}";
        other_days: "All days", "Tutti i giorni";
        weekdays: "Mo Tu We Th Fr Sa Su", "lu ma me gi ve sa do";
        months: "January February March April May June July August September October November December",
            "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre";
        gone: "Deleted mail", "Posta eliminata";
        gone_about: "What is in some backup and in your mailbox no longer, not even in the trash.",
            "Ciò che è in qualche backup e non più nella casella, nemmeno nel cestino.";
        nothing_gone: "Nothing is gone that the backups have.", "Non manca nulla di ciò che i backup hanno.";

        folders: "Folders", "Cartelle";
        where_you_are: "Where you are", "Dove sei";
        unread: "{} unread", "{} da leggere";
        unread_mark: "Unread", "Da leggere";
        messages: "{} messages", "{} messaggi";
        one_message: "1 message", "1 messaggio";
        counting: "The rest is being counted: load the page again.", "Il resto è in conteggio: ricarica la pagina.";
        more_folders: "Folders that have no room on this page: {}. A search finds what is in them, and the download of everything has them.",
            "Cartelle che non entrano in questa pagina: {}. La ricerca trova ciò che contengono e lo scaricamento completo le comprende.";
        not_then: "The folder {} is not in this backup.", "La cartella {} non è in questo backup.";

        day: "Backup of", "Backup del";
        show: "Show", "Mostra";
        earlier: "Day before", "Giorno prima";
        later: "Day after", "Giorno dopo";
        empty: "This folder is empty.", "Questa cartella è vuota.";
        choose: "Choose", "Seleziona";
        choose_one: "Choose: {}", "Seleziona: {}";
        choose_all: "Choose all on this page", "Seleziona tutti in questa pagina";
        from: "From", "Da";
        to: "To", "A";
        cc: "Cc", "Cc";
        reply_to: "Reply to", "Rispondi a";
        subject: "Subject", "Oggetto";
        date: "Date", "Data";
        received: "Received", "Ricevuto";
        size: "Size", "Dimensione";
        marks: "Marks", "Segni";
        sorted_up: "sorted ascending", "in ordine crescente";
        sorted_down: "sorted descending", "in ordine decrescente";
        answered: "Answered", "Risposto";
        flagged: "Flagged", "Contrassegnato";
        cannot_be_read: "Cannot be read", "Non leggibile";
        unknown_sender: "Unknown", "Sconosciuto";
        no_subject: "No subject", "Nessun oggetto";
        pages: "Pages", "Pagine";
        page_of: "{}–{} of {}", "{}–{} di {}";
        first: "First", "Prima";
        previous: "Previous", "Precedente";
        next: "Next", "Successiva";
        last: "Last", "Ultima";
        taking: "What to do with them", "Che cosa farne";
        chosen_mbox: "Download chosen (MBOX)", "Scarica i selezionati (MBOX)";
        chosen_maildir: "Download chosen (Maildir)", "Scarica i selezionati (Maildir)";
        chosen_restore: "Ask to restore chosen", "Chiedi il ripristino dei selezionati";
        folder_mbox: "Download folder (MBOX)", "Scarica la cartella (MBOX)";
        folder_maildir: "Download folder (Maildir)", "Scarica la cartella (Maildir)";
        folder_restore: "Ask to restore this folder", "Chiedi il ripristino della cartella";
        mailbox_maildir: "Download everything (Maildir)", "Scarica tutto (Maildir)";
        mailbox_restore: "Ask to restore everything", "Chiedi il ripristino di tutto";
        nothing_chosen: "Nothing was chosen", "Nessuna selezione";
        nothing_chosen_about: "Go back, and tick the boxes of the messages that it is about.",
            "Torna indietro e spunta le caselle dei messaggi che ti interessano.";

        older: "Older message", "Messaggio più vecchio";
        newer: "Newer message", "Messaggio più recente";
        eml: "Download (EML)", "Scarica (EML)";
        restore: "Ask to restore it", "Chiedi il ripristino";
        as_text: "Text", "Testo";
        as_html: "Formatted", "Formattato";
        as_source: "Source", "Sorgente";
        ways: "Ways to show it", "Modi di mostrarlo";
        the_message: "The message", "Il messaggio";
        remote: "Pictures from elsewhere are not shown: the sender would learn that you read this.",
            "Le immagini esterne non sono mostrate: il mittente saprebbe che stai leggendo.";
        show_remote: "Show them this once", "Mostrale questa volta";
        no_text: "There is no text in this message.", "Non c’è testo in questo messaggio.";
        is_cut: "This message is too long, too nested or too damaged to be shown in full. Download it to see all of it.",
            "Il messaggio è troppo lungo, annidato o danneggiato per essere mostrato per intero. Scaricalo per vederlo tutto.";
        too_large: "This message is too large to be shown. Download it instead.",
            "Il messaggio è troppo grande per essere mostrato. Scaricalo.";
        attachments: "Attachments", "Allegati";
        open: "Open", "Apri";
        download: "Download", "Scarica";
        to_outer: "Back to the message it came in", "Torna al messaggio che lo contiene";

        search: "Search", "Cerca";
        search_in: "Search in {}", "Cerca in {}";
        words: "Words", "Parole";
        searches_headers: "Senders, recipients, subjects and names of attachments are searched; the text of messages is not.",
            "Si cerca in mittenti, destinatari, oggetti e nomi degli allegati, non nel testo dei messaggi.";
        searches_all: "Senders, recipients, subjects, names of attachments and the text of messages are searched.",
            "Si cerca in mittenti, destinatari, oggetti, nomi degli allegati e nel testo dei messaggi.";
        attached: "Attached: {}", "Allegati: {}";
        since: "Received since", "Ricevuto dal";
        till: "Received until", "Ricevuto fino al";
        which_days: "Which backups", "Quali backup";
        all_days: "All", "Tutti";
        only_gone: "Only what is gone since", "Solo ciò che non c’è più";
        found: "Found: {}", "Trovati: {}";
        found_more: "The newest {} are shown; narrow the search to see others.", "Sono mostrati i {} più recenti; restringi la ricerca per vedere gli altri.";
        found_none: "Nothing was found.", "Nessun risultato.";
        nothing_asked: "Say what to look for: words, a sender, a subject or a time.", "Indica che cosa cercare: parole, mittente, oggetto o periodo.";
        not_a_day: "A date is not understood: write it as 2026-11-20.", "Una data non è comprensibile: scrivila come 2026-11-20.";
        behind: "What is new is still being learned: search again in a minute.", "Le novità sono ancora in lettura: ripeti la ricerca tra un minuto.";
        unsearched: "Messages or backups that could not be read, and were not searched: {}", "Messaggi o backup non leggibili, in cui non si è cercato: {}";
        folder: "Folder", "Cartella";
        seen: "In backups", "Nei backup";
        seen_from_to: "{} to {}", "dal {} al {}";
        gone_since: "gone since {}", "non c’è più dal {}";
    }
}
