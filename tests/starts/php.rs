//! PHP, and static sites: which folder is served.

use crate::tree::{refused, starts};

#[test]
fn php_is_served_from_the_folder_of_its_front_page() {
    let laravel =
        ("composer.json", "{\n  \"require\": {\n    \"php\": \"8.2\",\n    \"laravel/framework\": \"^12\"\n  }\n}");
    starts(
        "php",
        &[laravel, ("public/index.php", "")],
        "heroku-php-nginx public/ (Laravel: laravel/framework in composer.json line 4; public/index.php)",
    );
    let symfony = ("composer.json", "{\"require\": {\"symfony/framework-bundle\": \"7\"}}");
    starts(
        "php",
        &[symfony, ("public/index.php", ""), ("index.php", "")],
        "heroku-php-nginx public/ (Symfony: symfony/framework-bundle in composer.json line 1; public/index.php)",
    );
    starts("php", &[("web/index.php", "")], "heroku-php-nginx web/ (web/index.php)");
    starts(
        "php",
        &[("webroot/index.php", ""), ("composer.json", "{")],
        "heroku-php-nginx webroot/ (webroot/index.php)",
    );
    starts("php", &[("index.php", "")], "heroku-php-nginx (index.php)");
    starts(
        "php",
        &[("composer.json", "{}"), ("public/index.html", "")],
        "heroku-php-nginx public/ (public/index.html)",
    );
    refused("php", &[("composer.json", "{}")], &["there is no index.php", "  web: heroku-php-nginx FOLDER/"]);
    refused(
        "php",
        &[("composer.json", "{}"), ("my site/www/index.php", "")],
        &["  web: heroku-php-nginx 'my site/www'/"],
    );
}

#[test]
fn a_static_site_is_served_from_the_folder_of_its_first_page() {
    for folder in ["public_html", "public", "dist", "build", "_site", "out"] {
        let page = format!("{folder}/index.html");
        starts(
            "static",
            &[(&page, ""), ("index.html", "")],
            &format!(".slipway/static/serve of {folder}/ (static site: {page})"),
        );
    }
    starts("static", &[("index.html", "")], ".slipway/static/serve (static site: index.html)");
    starts(
        "static",
        &[("static.json", "{\n\"root\": \"www/\"}"), ("index.html", "")],
        ".slipway/static/serve of www/ (static.json line 2)",
    );
    starts("static", &[("static.json", "{}")], ".slipway/static/serve (static.json)");
}
