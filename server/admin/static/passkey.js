// Signs in with a passkey: asks the server what for, the browser for the passkey, and sends the form.
const form = document.querySelector("form.passkey");

function problem(isShown) {
  form.querySelector(".notice").hidden = !isShown;
}

async function sign(event) {
  event.preventDefault();
  problem(false);
  try {
    const begun = await fetch(form.dataset.begin, {
      method: "POST",
      body: new URLSearchParams({ form_key: form.elements.form_key.value }),
    });
    if (!begun.ok) throw new Error("refused");
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(await begun.json());
    const credential = await navigator.credentials.get({ publicKey });
    form.elements.credential.value = JSON.stringify(credential.toJSON());
    form.submit();
  } catch {
    problem(true);
  }
}

if (form && window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  form.hidden = false;
  form.addEventListener("submit", sign);
}
