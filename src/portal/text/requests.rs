//! Asking for a restore, one's requests, and deciding on them.

use super::texts;

texts! {
    /// Of the pages about requests.
    Requests {
        ask: "Ask for a restore", "Chiedi un ripristino";
        ask_about: "What is missing in your mailbox now is put back as it was in this backup. Nothing is overwritten and nothing is deleted. An administrator has to confirm it; you are told by e-mail.",
            "Ciò che ora manca nella tua casella viene rimesso com’era in questo backup. Nulla viene sovrascritto né cancellato. Un amministratore deve confermare; sarai avvisato per e-mail.";
        mailbox: "Mailbox", "Casella";
        backup_of: "Backup of", "Backup del";
        what: "What", "Che cosa";
        everything: "The whole mailbox", "L’intera casella";
        a_folder: "The folder {} with all below it", "La cartella {} con tutto il suo contenuto";
        one_message: "1 message of the folder {}", "1 messaggio della cartella {}";
        some_messages: "{} messages of the folder {}", "{} messaggi della cartella {}";
        and_more: "and {} more", "e {} in più";
        expires: "This backup is kept until", "Questo backup è conservato fino al";
        kept_until: "kept until {}", "conservato fino al {}";
        several_backups: "They are in {} backups: a request is made for each.", "Sono in {} backup: viene fatta una richiesta per ciascuno.";
        cost: "Cost", "Costo";
        where_to: "Where to put it", "Dove metterlo";
        where_same: "Into the folders where it was", "Nelle cartelle in cui si trovava";
        where_new: "Into one folder:", "In una sola cartella:";
        folder_name: "Name of the folder", "Nome della cartella";
        folder_hint: "For example Restored; a slash makes a folder in a folder.", "Per esempio Ripristinati; una barra crea una cartella in una cartella.";
        note: "Note for the administrator", "Nota per l’amministratore";
        note_hint: "Optional, up to 2000 characters.", "Facoltativa, fino a 2000 caratteri.";
        send: "Send the request", "Invia la richiesta";
        not_kept: "The request was not taken: there are too many of yours to be decided on, or something in it is too long.",
            "La richiesta non è stata accettata: ne hai già troppe in attesa, o qualcosa è troppo lungo.";
        odd_folder: "That cannot name a folder. Write a name without control characters, with a slash between its levels; no level may be empty, “.” or “..”, and it must not be too long (200 characters a level, 240 in all).",
            "Questo non può essere il nome di una cartella. Scrivi un nome senza caratteri di controllo, con una barra tra i livelli; nessun livello può essere vuoto, «.» o «..», e non dev’essere troppo lungo (200 caratteri per livello, 240 in tutto).";
        wants_a_folder: "Name the folder to put it into.", "Indica la cartella in cui metterlo.";

        mine: "My requests", "Le mie richieste";
        mine_none: "You have not asked for anything yet. Open a backup, and choose what is to be put back.",
            "Non hai ancora chiesto nulla. Apri un backup e scegli che cosa rimettere.";
        panel: "Requests", "Richieste";
        panel_none: "There is no such request.", "Nessuna richiesta di questo tipo.";
        number: "No.", "N.";
        asked: "Asked", "Chiesta";
        asked_by: "By", "Da";
        state: "State", "Stato";
        any_state: "All", "Tutti";
        filter: "Show", "Mostra";
        export: "Export as CSV", "Esporta in CSV";
        older: "Older requests", "Richieste precedenti";

        request: "Request {}", "Richiesta {}";
        several_received: "Your requests were taken. You will be told of each by e-mail.", "Le richieste sono state accolte. Sarai avvisato di ciascuna per e-mail.";
        received: "Your request was taken. You will be told by e-mail.", "La richiesta è stata accolta. Sarai avvisato per e-mail.";
        history: "What happened", "Cronologia";
        into: "Into the folder", "Nella cartella";
        note_of: "Note", "Nota";
        reason: "Reason", "Motivo";
        result: "Result", "Risultato";
        put_back: "Put back", "Rimessi";
        were_there: "Were there already", "Già presenti";
        were_moved: "Were in another folder", "In un’altra cartella";
        not_readable: "Not readable in the backup", "Non leggibili nel backup";
        not_taken: "Not taken by the mailbox", "Non accettati dalla casella";
        trouble: "It is tried again. The last attempt failed:", "Si riprova. L’ultimo tentativo non è riuscito:";

        plan: "What would be done", "Che cosa verrebbe fatto";
        plan_sum: "To put back: {}. There already: {}. In another folder: {}. Not readable: {}.",
            "Da rimettere: {}. Già presenti: {}. In un’altra cartella: {}. Non leggibili: {}.";
        plan_failed: "What would be done cannot be worked out now:", "Ora non è possibile calcolare che cosa verrebbe fatto:";
        plan_slow: "Working out what would be done takes too long here; “mailtm requests show {}” on the server says it.",
            "Calcolare che cosa verrebbe fatto richiede troppo tempo; lo dice “mailtm requests show {}” sul server.";
        folder: "Folder", "Cartella";
        to_create: "To put back", "Da rimettere";
        there: "There", "Presenti";
        elsewhere: "Elsewhere", "Altrove";
        unreadable: "Unreadable", "Illeggibili";
        decide: "Decide", "Decidi";
        approve: "Confirm: restore it now", "Conferma: ripristina ora";
        decline: "Decline", "Rifiuta";
        decline_reason: "Reason, which the person is told", "Motivo, che viene comunicato alla persona";
        backup_is_gone: "Its backup is gone, and nobody had decided.", "Il suo backup non c’è più e nessuno aveva deciso.";
        late: "Somebody has decided on this already.", "Qualcuno ha già deciso.";
        needs_reason: "Write the reason, of 2000 characters at most.", "Scrivi il motivo, di 2000 caratteri al massimo.";

        pending: "Waiting for a decision", "In attesa di decisione";
        approved: "Confirmed", "Confermata";
        running: "Being carried out", "In corso";
        done: "Done", "Eseguita";
        partial: "Done in part", "Eseguita in parte";
        failed: "Failed", "Non riuscita";
        declined: "Declined", "Rifiutata";
        lapsed: "Lapsed", "Decaduta";
    }
}
