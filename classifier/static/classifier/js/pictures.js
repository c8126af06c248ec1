// Pictures in the browser: scaled before they are sent, and drawn small.

const KEEP_BYTES = 1e6; // smaller files are sent as they are
const SHORT_SIDE = 896; // pixels that a scaled photo keeps: four times what CLIP looks at

// A large photo scaled down, upright, as JPEG; the file itself where that gains nothing or cannot be done here.
export async function smaller(file) {
  if (file.size <= KEEP_BYTES || !/^image\/(jpeg|png|webp|bmp)$/.test(file.type)) return file;
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = SHORT_SIDE / Math.min(bitmap.width, bitmap.height);
    const canvas = document.createElement("canvas");
    canvas.width = Math.round(bitmap.width * Math.min(1, scale));
    canvas.height = Math.round(bitmap.height * Math.min(1, scale));
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    if (scale >= 1 || (file.type !== "image/jpeg" && transparent(context, canvas))) return file;
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
    return blob && blob.size < file.size ? new File([blob], file.name, { type: blob.type }) : file;
  } catch {
    return file; // what this browser cannot read, the server may
  }
}

function transparent(context, { width, height }) {
  const { data } = context.getImageData(0, 0, width, height);
  for (let alpha = 3; alpha < data.length; alpha += 4) if (data[alpha] < 255) return true;
  return false;
}

// On a canvas: an <img> would need a policy that allows blob: addresses. One at a time, since a photo is large unpacked.
let previews = Promise.resolve();

// `side`: pixels of the longer one.
export function preview(file, canvas, side) {
  previews = previews.then(() => draw(file, canvas, side));
}

async function draw(file, canvas, side) {
  try {
    const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" });
    const scale = Math.min(1, side / Math.max(bitmap.width, bitmap.height));
    canvas.width = Math.max(1, Math.round(bitmap.width * scale));
    canvas.height = Math.max(1, Math.round(bitmap.height * scale));
    canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
    bitmap.close();
    canvas.hidden = false;
  } catch {
    // what this browser cannot read goes without
  }
}
