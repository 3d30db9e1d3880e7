<?php
// requires.php BUILD_DIR: says what composer.json needs: "none" nothing to install, "packages" something of a registry.
// Prints what is wrong, with status 1, when it is no valid JSON.
$manifest = json_decode((string) file_get_contents("$argv[1]/composer.json"), true);
if (!is_array($manifest)) {
    echo 'composer.json is no valid JSON: ', json_last_error_msg(), '.';
    exit(1);
}
$isPlatform = fn (string $name): bool => (bool) preg_match('/^(php(-64bit)?|hhvm|ext-.*|lib-.*|composer(-.*)?)$/', $name);
$packages = array_filter(array_keys($manifest['require'] ?? []), fn (string $name): bool => !$isPlatform($name));
echo $packages || isset($manifest['autoload']) || isset($manifest['scripts']) ? ($packages ? 'packages' : 'autoload') : 'none', "\n";
echo isset($manifest['scripts']['compile']) ? 'compile' : '', "\n";
