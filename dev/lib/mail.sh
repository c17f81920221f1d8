# shellcheck shell=bash
# The mail sink of an instance: takes every mail, delivers none, shows them by HTTP. Sourced after
# processes.sh; the sink itself is dev/mail_sink.py.

smtp_url() { echo "smtp://127.0.0.1:$(port SMTP_PORT)"; }
mail_api_url() { echo "http://127.0.0.1:$(port MAIL_API_PORT)/api/v1/messages"; }

mail_start() {
    if alive mail.supervisor; then start mail; return; fi
    stop mail
    keep_port SMTP_PORT
    keep_port MAIL_API_PORT
    # Debian's own Python by its full name: another one in PATH would lack aiosmtpd.
    start mail -- /usr/bin/python3 -u "$REPO/dev/mail_sink.py" "$(port SMTP_PORT)" "$(port MAIL_API_PORT)"
}

mail_ready() {
    curl --silent --fail --max-time 2 "http://127.0.0.1:$(port MAIL_API_PORT)/readyz" &&
        smtp_banner "$(port SMTP_PORT)"
}

smtp_banner() {
    local line
    exec 3<>"/dev/tcp/127.0.0.1/$1" || return 1
    read -r -t 2 line <&3 || line=
    printf 'QUIT\r\n' >&3
    exec 3>&-
    [[ $line == 220* ]]
}
