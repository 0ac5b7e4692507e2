//! A desktop of a user's on a screen that nobody sees: a window manager, a file manager, a mouse and a keyboard.
//!
//! Invariant: when a `Desktop` has been dropped, none of its processes is left.

use crate::harness::{Scratch, Subject, eventually, output, run};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a window may take to appear, on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);
/// When a program that has shown no window is started again: on a busy machine one may give up while the desktop starts.
const AGAIN: Duration = Duration::from_secs(20);
/// The size of every window, and where on the screen the first row of its list is.
const WINDOW: (u32, u32) = (620, 480);
const FIRST_ROW: u32 = 145;

/// A screen with two places for windows, beside each other.
pub struct Desktop {
    user: Subject,
    home: PathBuf,
    display: String,
    bus: String,
    /// In the order in which they were started.
    children: Vec<Child>,
    bus_pid: String,
}

/// A window of the file manager.
pub struct Window {
    id: String,
    /// Its left edge.
    x: u32,
}

impl Desktop {
    pub fn start(scratch: &Scratch, user: &Subject) -> Self {
        let home = scratch.subdirectory("home");
        let settings = [
            (
                ".config/pcmanfm/default/pcmanfm.conf",
                "[ui]\nalways_show_tabs=0\nview_mode=list\nside_pane_mode=hidden\n",
            ),
            (
                ".config/libfm/libfm.conf",
                "[config]\nconfirm_del=1\nno_usb_trash=1\n",
            ),
        ];
        for (path, text) in settings {
            let path = home.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        run(Command::new("chown")
            .arg("-R")
            .arg(format!("{}:{}", user.uid, user.gid))
            .arg(&home));
        let number = scratch.join("display");
        // The shell hands its own output over as descriptor 7, on which the server says its number.
        let screen = Command::new("sh")
            .args([
                "-c",
                "exec Xvfb -displayfd 7 -screen 0 1280x720x24 -nolisten tcp -ac 7>&1 > /dev/null",
            ])
            .stdout(File::create(&number).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut desktop = Self {
            user: user.clone(),
            home,
            display: String::new(),
            bus: String::new(),
            children: vec![screen],
            bus_pid: String::new(),
        };
        eventually(PATIENCE, "a screen", || {
            let said = fs::read_to_string(&number).unwrap();
            desktop.display = format!(":{}", said.trim());
            said.ends_with('\n')
        });
        let said = desktop.output("dbus-launch", &[]).stdout;
        let said = String::from_utf8(said).unwrap();
        let value = |key: &str| {
            let line = said.lines().find_map(|l| l.strip_prefix(key));
            line.unwrap_or_else(|| panic!("{said}")).to_owned()
        };
        desktop.bus = value("DBUS_SESSION_BUS_ADDRESS=");
        desktop.bus_pid = value("DBUS_SESSION_BUS_PID=");
        desktop.start_program("openbox", &[]);
        desktop
    }

    /// A program of the user's on this screen.
    fn command(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid", &self.user.uid.to_string()])
            .args(["--regid", &self.user.gid.to_string(), "--clear-groups"])
            .arg(program)
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .env("HOME", &self.home)
            .env("XDG_RUNTIME_DIR", &self.home)
            .env("DISPLAY", &self.display)
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .env("GIO_USE_VFS", "local")
            .env("NO_AT_BRIDGE", "1")
            .stdin(Stdio::null())
            .current_dir(&self.home);
        command
    }

    fn output(&self, program: &str, args: &[&str]) -> Output {
        output(&mut self.command(program, args))
    }

    fn start_program(&mut self, program: &str, args: &[&str]) {
        let mut command = self.command(program, args);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        self.children.push(command.spawn().unwrap());
    }

    fn xdotool(&self, args: &str) -> String {
        let args: Vec<&str> = args.split(' ').collect();
        String::from_utf8(self.output("xdotool", &args).stdout).unwrap()
    }

    /// The id of the window with this title, if there is one.
    fn find(&self, title: &str) -> Option<String> {
        let pattern = format!("^{}$", title.replace('.', "\\."));
        let found = self.output("xdotool", &["search", "--onlyvisible", "--name", &pattern]);
        let found = String::from_utf8(found.stdout).unwrap();
        Some(found.lines().last()?.to_owned())
    }

    /// The window with this title, once it is there.
    fn wait_for(&self, title: &str) -> String {
        let mut found = None;
        eventually(PATIENCE, &format!("a window {title}"), || {
            found = self.find(title);
            found.is_some()
        });
        found.unwrap()
    }

    /// A window that shows a directory, in the left half of the screen or in the right one.
    pub fn open(&mut self, directory: &Path, right: bool) -> Window {
        let title = directory.file_name().unwrap().to_str().unwrap();
        let (mut started, mut found): (Option<Instant>, _) = (None, None);
        eventually(PATIENCE, &format!("a window {title}"), || {
            if started.is_none_or(|start| start.elapsed() > AGAIN) {
                self.start_program("pcmanfm", &["-n", directory.to_str().unwrap()]);
                started = Some(Instant::now());
            }
            found = self.find(title);
            found.is_some()
        });
        let id = found.unwrap();
        let x = if right { 640 } else { 0 };
        let (width, height) = WINDOW;
        self.xdotool(&format!("windowsize --sync {id} {width} {height}"));
        self.xdotool(&format!("windowmove {id} {x} 20"));
        Window { id, x }
    }

    pub fn close(&self, window: Window) {
        self.keys(&window, &["ctrl+w"]);
    }

    /// Presses keys in a window.
    pub fn keys(&self, window: &Window, keys: &[&str]) {
        self.xdotool(&format!("windowactivate --sync {} sleep 0.2", window.id));
        for key in keys {
            self.xdotool(&format!("key {key} sleep 0.3"));
        }
    }

    /// Drags what stands in the first row of a window into another one, until it has `arrived`: a list that is still
    /// being filled lets go of what is dragged.
    pub fn drag_until(&self, from: &Window, to: &Window, mut arrived: impl FnMut() -> bool) {
        for _ in 0..4 {
            self.drag(from, to);
            for _ in 0..60 {
                if arrived() {
                    return self.settled();
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        panic!("what was dragged has not arrived");
    }

    /// Drags what stands in the first row of a window into another one.
    pub fn drag(&self, from: &Window, to: &Window) {
        let (x, y) = (from.x + 230, FIRST_ROW);
        let mut way = format!("mousemove {x} {y} sleep 0.2 mousedown 1 sleep 0.2");
        // A drag begins when the mouse moves, and is followed on its way.
        for step in 1..=8 {
            let part = |a: u32, b: u32| (a * (8 - step) + b * step) / 8;
            let (x, y) = (part(x, to.x + 400), part(y, 440));
            way += &format!(" mousemove {x} {y} sleep 0.05");
        }
        self.xdotool(&(way + " sleep 0.3 mouseup 1"));
    }

    /// Answers what is asked in a window with the proposed answer, once it is asked.
    pub fn confirm(&self, title: &str) {
        let id = self.wait_for(title);
        self.xdotool(&format!("windowactivate --sync {id} sleep 0.2 key Return"));
        eventually(PATIENCE, "the answer is taken", || {
            self.find(title).is_none_or(|other| other != id)
        });
    }

    /// What the file manager says when it could not do what was asked for; the window is closed.
    pub fn complaint(&self) -> String {
        let id = self.wait_for("Finished");
        self.xdotool(&format!("windowactivate --sync {id} sleep 0.2"));
        let size = self.xdotool(&format!("getwindowgeometry --shell {id}"));
        let number = |key: &str| -> u32 {
            let line = size.lines().find_map(|l| l.strip_prefix(key));
            line.unwrap().parse().unwrap()
        };
        // The list of errors is below the middle; its text is taken as a user would take it.
        let (x, y) = (number("WIDTH=") / 2, number("HEIGHT=") * 62 / 100);
        self.xdotool(&format!(
            "mousemove --window {id} {x} {y} click 1 sleep 0.2 key ctrl+a key ctrl+c sleep 0.2"
        ));
        let said = self.output("xclip", &["-o", "-selection", "clipboard"]);
        self.picture("complaint");
        self.xdotool(&format!("windowclose {id}"));
        String::from_utf8(said.stdout).unwrap()
    }

    /// Gives the windows the time to show what has become of the files.
    pub fn settled(&self) {
        self.xdotool("sleep 0.7");
    }

    /// A picture of the screen, into the directory that `SCREENSHOTS` names, if it does.
    pub fn picture(&self, name: &str) {
        if let Some(directory) = std::env::var_os("SCREENSHOTS") {
            let path = Path::new(&directory).join(format!("{name}.png"));
            let mut import = Command::new("import");
            import.env("DISPLAY", &self.display);
            run(import.args(["-window", "root"]).arg(path));
        }
    }
}

impl Drop for Desktop {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.picture("failed");
        }
        let _ = Command::new("kill").arg(&self.bus_pid).status();
        for child in self.children.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
