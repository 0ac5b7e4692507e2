//! What stands around pages, signing in, and what goes wrong.

use super::texts;

texts! {
    /// Around every page.
    Shell {
        name: "Mail Time Machine", "Mail Time Machine";
        skip: "Skip to the content", "Vai al contenuto";
        main_menu: "Main menu", "Menu principale";
        backups: "Backups", "Backup";
        requests: "My requests", "Le mie richieste";
        panel: "To decide", "Da decidere";
        signed_in_as: "Signed in as {}", "Accesso come {}";
        sign_out: "Sign out", "Esci";
        sign_out_everywhere: "Sign out everywhere", "Esci ovunque";
        other_language: "Italiano", "English";
        footer: "Backups can be read and taken away. Nothing here changes your mailbox; a restore does, once an administrator confirms it.",
            "I backup si possono leggere e scaricare. Nulla qui cambia la tua casella; lo fa un ripristino, dopo la conferma di un amministratore.";

        sign_in: "Sign in", "Accedi";
        sign_in_about: "Your mail as it was: pick a day, read, and take back what was lost.",
            "La tua posta com’era: scegli il giorno, leggi e riprendi ciò che è andato perso.";
        address: "E-mail address", "Indirizzo e-mail";
        password: "Password", "Password";
        password_about: "The one of your mailbox. It is checked by your mail server, and not kept.",
            "Quella della tua casella. La verifica il server di posta e non viene conservata.";
        refused: "The address or the password is not right.", "L’indirizzo o la password non sono corretti.";
        server_silent: "Your mail server does not answer, so nobody can sign in now. Try again in a few minutes.",
            "Il server di posta non risponde, quindi ora nessuno può accedere. Riprova tra qualche minuto.";
        too_many: "Too many attempts. Try again in {} s.", "Troppi tentativi. Riprova tra {} s.";
        signed_out: "You are signed out.", "Sei uscito.";
        no_backup: "No backup of this mailbox", "Nessun backup di questa casella";
        no_backup_about: "Your password is right, but the backups hold no mailbox that is {} and nobody else’s. If it was made today, it is in the next backup; otherwise ask your administrator.",
            "La password è corretta, ma i backup non contengono una casella che sia {} e di nessun altro. Se è stata creata oggi, sarà nel prossimo backup; altrimenti chiedi all’amministratore.";

        nothing_here: "There is nothing here", "Qui non c’è nulla";
        nothing_here_about: "The address is wrong, or what was here is gone: a backup that has expired takes its pages with it.",
            "L’indirizzo è sbagliato, o ciò che era qui non c’è più: un backup scaduto porta con sé le sue pagine.";
        not_done: "This was not done", "Operazione non eseguita";
        not_done_about: "The form did not come from a page of this session. Go back, load the page again and send it once more.",
            "Il modulo non veniva da una pagina di questa sessione. Torna indietro, ricarica la pagina e invialo di nuovo.";
        not_understood: "This was not understood", "Richiesta non compresa";
        not_understood_about: "What the browser sent is not what this page expects, or too much of it.",
            "Ciò che il browser ha inviato non è ciò che questa pagina si aspetta, o è troppo.";
        busy: "Too busy right now", "Troppo occupato";
        busy_about: "Many people are reading at the moment. Try again in a few seconds.",
            "In questo momento molte persone stanno leggendo. Riprova tra qualche secondo.";
        unreadable: "The backup cannot be read now", "Il backup ora non è leggibile";
        unreadable_about: "The storage that holds it does not answer, or this message is damaged in it. Other days and messages are not affected. Try again later; if it stays so, tell your administrator.",
            "L’archivio che lo contiene non risponde, o il messaggio vi è danneggiato. Gli altri giorni e messaggi non sono coinvolti. Riprova più tardi; se continua, avvisa l’amministratore.";
        fault: "Something went wrong here", "Si è verificato un errore";
        fault_about: "It is not your doing, and it is in the administrator’s log. Try again later.",
            "Non dipende da te, ed è nel registro dell’amministratore. Riprova più tardi.";
        to_start: "To the backups", "Ai backup";
    }
}
