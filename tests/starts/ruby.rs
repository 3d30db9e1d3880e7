//! Ruby: Rails, Rack, Sinatra.

use crate::tree::{Tree, refused, starts};

/// A lock file with these gems.
fn lock(gems: &[&str]) -> String {
    let gems: Vec<String> = gems.iter().map(|name| format!("    {name} (1.0)\n      rack (>= 1)\n")).collect();
    format!("GEM\n  remote: https://rubygems.org/\n  specs:\n{}", gems.concat())
}

#[track_caller]
fn ruby(gems: &[&str], files: &[(&str, &str)], expected: &str) {
    let lock = lock(gems);
    let mut files = files.to_vec();
    files.push(("Gemfile.lock", &lock));
    starts("ruby", &files, expected);
}

const RAILS: (&str, &str) =
    ("config/application.rb", "module Shop\n  class Application < Rails::Application\n  end\nend\n");
const RACK: (&str, &str) = ("config.ru", "require './app'\n\nrun App\n");

#[test]
fn rails_is_started_by_its_own_server() {
    let reason = "(Rails: config/application.rb line 2)";
    ruby(&["railties", "puma"], &[RAILS, RACK], &format!("bundle exec rails server -b 0.0.0.0 -p $PORT {reason}"));
    ruby(
        &["railties", "puma"],
        &[RAILS, ("+bin/rails", "")],
        &format!("bin/rails server -b 0.0.0.0 -p $PORT {reason}"),
    );
    let lock = lock(&["railties"]);
    refused(
        "ruby",
        &[RAILS, ("Gemfile.lock", &lock)],
        &["Rails app (config/application.rb line 2)", "Type bundle add puma"],
    );
}

#[test]
fn rack_apps_are_started_by_the_server_in_the_bundle() {
    for (gem, command) in [
        ("puma", "puma -b tcp://0.0.0.0:$PORT config.ru"),
        ("unicorn", "unicorn -o 0.0.0.0 -p $PORT config.ru"),
        ("thin", "thin start -R config.ru -a 0.0.0.0 -p $PORT"),
        ("falcon", "falcon serve --bind http://0.0.0.0:$PORT --config config.ru"),
        ("webrick", "rackup config.ru -o 0.0.0.0 -p $PORT"),
    ] {
        ruby(&["rack", gem], &[RACK], &format!("bundle exec {command} (Rack: config.ru line 3)"));
    }
    ruby(
        &["sinatra", "puma"],
        &[("app.rb", "# x\nrequire 'sinatra'\n")],
        "bundle exec ruby app.rb -o 0.0.0.0 -p $PORT (Sinatra: app.rb line 2)",
    );
    let lock = lock(&["rack"]);
    refused("ruby", &[RACK, ("Gemfile.lock", &lock)], &["Rack app (config.ru line 3)", "bundle add puma"]);
    refused("ruby", &[("bot.rb", ""), ("Gemfile.lock", &lock)], &["no config.ru", "  web: bundle exec ruby bot.rb"]);
    assert_eq!(Tree::of(&[RACK]).start("ruby"), Ok(String::new()), "the missing lock file is the reason then");
}
